// Messages of proto and JSON: 64-bit integers are strings, fields have the names of the .proto, and
// those that are unset are there with their default. Pure.
#ifndef MERGANSER_COORDINATOR_HTTP_API_MESSAGES_H_
#define MERGANSER_COORDINATOR_HTTP_API_MESSAGES_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/message.h"

namespace merganser::http {

absl::StatusOr<std::string> ToJson(const google::protobuf::Message& message);

// kInvalidArgument (JSON_INVALID) says what is wrong; unknown fields are.
absl::Status FromJson(std::string_view json, google::protobuf::Message& message);

// Parameters of a query as fields, by name: numbers, text, booleans and names of enums.
// kInvalidArgument (QUERY_INVALID): unknown ones, one twice, what is no such value.
absl::Status FromQuery(const std::vector<std::pair<std::string, std::string>>& query,
                       google::protobuf::Message& message);

// Sets the text field `name`. kInvalidArgument where it says something else already.
absl::Status SetName(const std::string& name, google::protobuf::Message& message);

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_API_MESSAGES_H_
