// The format of the AWS tools' config and credentials files: pure, from text to sections.
#ifndef MERGANSER_COMMON_STORAGE_S3_AWS_INI_H_
#define MERGANSER_COMMON_STORAGE_S3_AWS_INI_H_

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace merganser::s3 {

// Values by key, keys in lower case. Those of a nested block stand behind the key of the block:
//   s3 =
//     addressing_style = path
// is "s3.addressing_style" -> "path".
using IniSection = std::map<std::string, std::string, std::less<>>;
using IniFile = std::map<std::string, IniSection, std::less<>>;  // by what stands in the brackets

// Lines "[section]" and "key = value" or "key: value"; a line that begins with '#' or ';' is a
// comment, and so is what follows a blank and one of the two in a value, but for the value of
// credential_process. An indented line goes on with the value before it. Of two values of a key the
// last counts; sections of one name are one. kInvalidArgument names the line of what is none of
// that, and never quotes it: it may be a key.
absl::StatusOr<IniFile> ParseIni(std::string_view text);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_AWS_INI_H_
