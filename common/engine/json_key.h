// One key of a JSON file, with all else left as it is.
#ifndef MERGANSER_COMMON_ENGINE_JSON_KEY_H_
#define MERGANSER_COMMON_ENGINE_JSON_KEY_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace merganser {

// `text` with `value`, a text, at the top's `key`, whatever stood there; added at the end where
// nothing did. All other keys and values, their order and the spelling of numbers are kept; white
// space is not. kInvalidArgument when `text` is no JSON object; `what` names the file.
absl::StatusOr<std::string> WithTextKey(std::string_view text, std::string_view key,
                                        std::string_view value, std::string_view what);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_JSON_KEY_H_
