#include "proto/convert/status_codec.h"

#include "absl/strings/cord.h"
#include "common/base/status.h"
#include "proto/merganser/v1/errors.pb.h"

namespace merganser {
namespace {

constexpr char kErrorInfoUrl[] = "type.googleapis.com/google.rpc.ErrorInfo";

}  // namespace

absl::Status ReasonedError(absl::StatusCode code, std::string_view reason, std::string_view message,
                           const std::map<std::string, std::string>& metadata) {
  // A newline in a file name must not break the one-line rule, nor the HTTP/2
  // header that carries the message.
  absl::Status status(code, Utf8(OneLine(message)));
  v1::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain(std::string(kErrorDomain));
  info.mutable_metadata()->insert(metadata.begin(), metadata.end());
  status.SetPayload(kErrorInfoUrl, absl::Cord(info.SerializeAsString()));
  return status;
}

std::string ReasonOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kErrorInfoUrl);
  v1::ErrorInfo info;
  if (!payload.has_value() || !info.ParseFromString(std::string(*payload))) return {};
  return info.reason();
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  v1::StatusDetails details;
  details.set_code(static_cast<int>(status.code()));
  const std::string message = Utf8(std::string(status.message()));
  details.set_message(message);
  google::protobuf::Any& any = *details.add_details();
  any.set_type_url(kErrorInfoUrl);
  if (const auto payload = status.GetPayload(kErrorInfoUrl); payload.has_value()) {
    any.set_value(std::string(*payload));
  } else {
    v1::ErrorInfo info;
    info.set_reason(absl::StatusCodeToString(status.code()));
    info.set_domain(std::string(kErrorDomain));
    any.set_value(info.SerializeAsString());
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
      if (any.type_url() == kErrorInfoUrl && info.ParseFromString(any.value())) {
        result.SetPayload(kErrorInfoUrl, absl::Cord(any.value()));
      }
    }
  }
  return result;
}

std::string Utf8(std::string_view text) {
  std::string valid;
  for (size_t i = 0; i < text.size();) {
    const auto at = [&](size_t k) { return static_cast<unsigned char>(text[k]); };
    const unsigned char lead = at(i);
    const size_t length = lead < 0x80   ? 1
                          : lead < 0xc2 ? 0
                          : lead < 0xe0 ? 2
                          : lead < 0xf0 ? 3
                          : lead < 0xf5 ? 4
                                        : 0;
    bool ok = length > 0 && i + length <= text.size();
    for (size_t k = 1; ok && k < length; ++k) ok = (at(i + k) & 0xc0) == 0x80;
    // Overlong forms, surrogates, and what lies beyond the last code point.
    if (ok && length >= 3) {
      const unsigned char next = at(i + 1);
      ok = !((lead == 0xe0 && next < 0xa0) || (lead == 0xed && next > 0x9f) ||
             (lead == 0xf0 && next < 0x90) || (lead == 0xf4 && next > 0x8f));
    }
    valid.append(ok ? std::string(text.substr(i, length)) : "?");
    i += ok ? length : 1;
  }
  return valid;
}

absl::StatusCode FailureCode(int code) {
  if (code <= 0 || code > static_cast<int>(absl::StatusCode::kUnauthenticated)) {
    return absl::StatusCode::kUnknown;
  }
  return static_cast<absl::StatusCode>(code);
}

}  // namespace merganser
