// What small JSON documents say: pure.
#ifndef MERGANSER_COMMON_STORAGE_S3_AWS_JSON_FIELDS_H_
#define MERGANSER_COMMON_STORAGE_S3_AWS_JSON_FIELDS_H_

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace merganser::s3 {

// Values by the names that lead to them, "roleCredentials.accessKeyId"; numbers and booleans as
// they are written, without nulls and what arrays hold.
using JsonFields = std::map<std::string, std::string, std::less<>>;

// kDataLoss for what is no JSON object; never quotes it: it may hold a key.
absl::StatusOr<JsonFields> ParseJsonFields(std::string_view text);

// "" where there is none.
std::string Field(const JsonFields& fields, std::string_view name);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_AWS_JSON_FIELDS_H_
