// absl::Status <-> grpc::Status with its ErrorInfo (proto/merganser/v1/errors.proto).
#ifndef MERGANSER_PROTO_CONVERT_STATUS_CODEC_H_
#define MERGANSER_PROTO_CONVERT_STATUS_CODEC_H_

#include <chrono>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace merganser {

inline constexpr std::string_view kErrorDomain = "merganser";

// An error with a reason for programs ("JOB_NOT_FOUND") and what the message
// mentions as key and value. Both are payload: Annotate keeps them.
absl::Status ReasonedError(absl::StatusCode code, std::string_view reason, std::string_view message,
                           const std::map<std::string, std::string>& metadata = {});

// The reason of an error that ReasonedError or FromGrpc made; empty without one.
std::string ReasonOf(const absl::Status& status);

// The same error, and when to call again. Also payload.
absl::Status RetryAfter(absl::Status status, std::chrono::seconds delay);
std::optional<std::chrono::seconds> RetryDelayOf(const absl::Status& status);

// What an error's reason comes with: {"field", "output_uri"}.
std::map<std::string, std::string> MetadataOf(const absl::Status& status);

// A status without a reason gets the name of its code.
grpc::Status ToGrpc(const absl::Status& status);
// Details that cannot be decoded are dropped; code and message remain.
absl::Status FromGrpc(const grpc::Status& status);

// A code as it stands in messages (UnitFailure.code). What is no code, and OK,
// becomes kUnknown: the sender meant a failure.
absl::StatusCode FailureCode(int code);

}  // namespace merganser

#endif  // MERGANSER_PROTO_CONVERT_STATUS_CODEC_H_
