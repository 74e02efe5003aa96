#include "proto/convert/status_codec.h"

#include <optional>
#include <utility>

#include "absl/strings/cord.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "proto/merganser/v1/errors.pb.h"

namespace merganser {
namespace {

constexpr char kErrorInfoUrl[] = "type.googleapis.com/google.rpc.ErrorInfo";
constexpr char kBadRequestUrl[] = "type.googleapis.com/google.rpc.BadRequest";
constexpr char kRetryInfoUrl[] = "type.googleapis.com/google.rpc.RetryInfo";

// Trailers carry the message twice: percent-encoded (grpc-message) and, as clients hold the
// two against each other, the same text in base64 (grpc-status-details-bin). Clients refuse
// trailers of more than 8 KiB, some proxies of more than 4 KiB, and then another code
// arrives than was sent.
constexpr size_t kMaxMessageInTrailers = 2600;
constexpr size_t kMaxMetadataEntries = 8;
constexpr size_t kMaxMetadataKey = 32;
constexpr size_t kMaxMetadataValue = 160;
constexpr size_t kMaxMetadata = 512;  // keys and values
constexpr size_t kMaxDescription = 200;

// What a message takes of the trailers.
size_t TrailerBytes(std::string_view text) {
  size_t bytes = (text.size() + 2) / 3 * 4;
  for (const char c : text) bytes += c < 0x20 || c > 0x7e || c == '%' ? 3 : 1;
  return bytes;
}

std::string FittingTrailers(std::string_view message) {
  std::string text = OneLine(message);
  while (TrailerBytes(text) > kMaxMessageInTrailers) {
    text = Cut(text, text.size() * kMaxMessageInTrailers / (TrailerBytes(text) + 1));
  }
  return text;
}

// The ErrorInfo as it may travel: what it quotes is as harmless as the message.
v1::ErrorInfo Bounded(const v1::ErrorInfo& info) {
  v1::ErrorInfo bounded;
  bounded.set_reason(Cut(OneLine(info.reason()), 64));
  bounded.set_domain(Cut(OneLine(info.domain()), 64));
  const std::map<std::string, std::string> entries(info.metadata().begin(), info.metadata().end());
  size_t bytes = 0;
  for (const auto& [key, value] : entries) {
    const std::string name = Cut(OneLine(key), kMaxMetadataKey);
    std::string text = Cut(OneLine(value), kMaxMetadataValue);
    bytes += name.size() + text.size();
    if (bounded.metadata_size() == kMaxMetadataEntries || bytes > kMaxMetadata) break;
    (*bounded.mutable_metadata())[name] = std::move(text);
  }
  return bounded;
}

template <typename Message>
std::optional<Message> Payload(const absl::Status& status, const char* url) {
  const auto payload = status.GetPayload(url);
  Message message;
  if (!payload.has_value() || !message.ParseFromString(std::string(*payload))) return std::nullopt;
  return message;
}

// What the ErrorInfo of a wrong request says, in the form that google.rpc has for it.
v1::BadRequest Violation(const std::string& field, const std::string& message) {
  v1::BadRequest wrong;
  v1::BadRequest::FieldViolation& violation = *wrong.add_field_violations();
  violation.set_field(field);
  violation.set_description(Cut(message, kMaxDescription));
  return wrong;
}

void AddDetail(const char* url, const std::string& value, v1::StatusDetails& details) {
  google::protobuf::Any& any = *details.add_details();
  any.set_type_url(url);
  any.set_value(value);
}

}  // namespace

absl::Status ReasonedError(absl::StatusCode code, std::string_view reason, std::string_view message,
                           const std::map<std::string, std::string>& metadata) {
  // A newline in a file name must not break the one-line rule, nor the HTTP/2
  // header that carries the message.
  absl::Status status(code, FittingTrailers(message));
  v1::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain(std::string(kErrorDomain));
  info.mutable_metadata()->insert(metadata.begin(), metadata.end());
  status.SetPayload(kErrorInfoUrl, absl::Cord(Bounded(info).SerializeAsString()));
  return status;
}

std::string ReasonOf(const absl::Status& status) {
  const std::optional<v1::ErrorInfo> info = Payload<v1::ErrorInfo>(status, kErrorInfoUrl);
  return info.has_value() ? info->reason() : "";
}

std::map<std::string, std::string> MetadataOf(const absl::Status& status) {
  const std::optional<v1::ErrorInfo> info = Payload<v1::ErrorInfo>(status, kErrorInfoUrl);
  if (!info.has_value()) return {};
  return {info->metadata().begin(), info->metadata().end()};
}

absl::Status RetryAfter(absl::Status status, std::chrono::seconds delay) {
  v1::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(delay.count());
  status.SetPayload(kRetryInfoUrl, absl::Cord(info.SerializeAsString()));
  return status;
}

std::optional<std::chrono::seconds> RetryDelayOf(const absl::Status& status) {
  const std::optional<v1::RetryInfo> info = Payload<v1::RetryInfo>(status, kRetryInfoUrl);
  if (!info.has_value()) return std::nullopt;
  return std::chrono::seconds(info->retry_delay().seconds());
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  v1::StatusDetails details;
  details.set_code(static_cast<int>(status.code()));
  const std::string message = FittingTrailers(std::string(status.message()));
  details.set_message(message);
  std::optional<v1::ErrorInfo> info = Payload<v1::ErrorInfo>(status, kErrorInfoUrl);
  if (!info.has_value()) {
    info.emplace();
    info->set_reason(absl::StatusCodeToString(status.code()));
    info->set_domain(std::string(kErrorDomain));
  }
  const v1::ErrorInfo bounded = Bounded(*info);
  AddDetail(kErrorInfoUrl, bounded.SerializeAsString(), details);
  if (const auto field = bounded.metadata().find("field");
      absl::IsInvalidArgument(status) && field != bounded.metadata().end()) {
    AddDetail(kBadRequestUrl, Violation(Cut(field->second, 64), message).SerializeAsString(),
              details);
  }
  if (const auto retry = status.GetPayload(kRetryInfoUrl); retry.has_value()) {
    AddDetail(kRetryInfoUrl, std::string(*retry), details);
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message,
                      details.SerializeAsString());
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(FailureCode(status.error_code()), OneLine(status.error_message()));
  v1::StatusDetails details;
  if (details.ParseFromString(status.error_details())) {
    for (const google::protobuf::Any& any : details.details()) {
      v1::ErrorInfo info;
      v1::RetryInfo retry;
      if ((any.type_url() == kErrorInfoUrl && info.ParseFromString(any.value())) ||
          (any.type_url() == kRetryInfoUrl && retry.ParseFromString(any.value()))) {
        result.SetPayload(any.type_url(), absl::Cord(any.value()));
      }
    }
  }
  return result;
}

absl::StatusCode FailureCode(int code) {
  if (code <= 0 || code > static_cast<int>(absl::StatusCode::kUnauthenticated)) {
    return absl::StatusCode::kUnknown;
  }
  return static_cast<absl::StatusCode>(code);
}

}  // namespace merganser
