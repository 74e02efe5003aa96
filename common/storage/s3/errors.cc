#include "common/storage/s3/errors.h"

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/s3/xml.h"

namespace merganser::s3 {
namespace {

// "403 AccessDenied: the text".
std::string Said(const HttpAnswer& answer, const ErrorBody& error) {
  std::string text = absl::StrCat(answer.code);
  if (!error.code.empty()) absl::StrAppend(&text, " ", Shown(error.code));
  if (!error.message.empty()) absl::StrAppend(&text, ": ", Shown(error.message));
  return text;
}

Verdict No(absl::StatusCode code, const std::string& message, const ErrorBody& error) {
  return {Outcome::kNo, absl::Status(code, message), error.code};
}

// Codes that tell more than their number.
std::optional<Verdict> ByCode(const HttpAnswer& answer, const ErrorBody& error,
                              std::string_view action) {
  const std::string& code = error.code;
  const std::string said = Said(answer, error);
  if (code == "ExpiredToken" || code == "ExpiredTokenException" || code == "TokenRefreshRequired") {
    return Verdict{Outcome::kExpired,
                   absl::UnauthenticatedError(
                       absl::StrCat(said, "; the session token ended: give new credentials")),
                   code};
  }
  if (code == "SlowDown" || code == "ThrottlingException" || code == "TooManyRequests" ||
      code == "RequestLimitExceeded") {
    return Verdict{Outcome::kSlowDown, absl::UnavailableError(said), code};
  }
  // The last three: what arrived is not what was sent.
  if (code == "RequestTimeout" || code == "InternalError" || code == "ServiceUnavailable" ||
      code == "IncompleteBody" || code == "BadDigest" || code == "XAmzContentSHA256Mismatch") {
    return Verdict{Outcome::kUnclear, absl::UnavailableError(said), code};
  }
  if (code == "RequestTimeTooSkewed") {
    const std::string_view date = answer.Header("date");
    return No(absl::StatusCode::kFailedPrecondition,
              absl::StrCat(said, "; the store's clock says ", Shown(date),
                           ": set this machine's clock (NTP)"),
              error);
  }
  if (code == "InvalidAccessKeyId" || code == "SignatureDoesNotMatch" || code == "InvalidToken") {
    return No(absl::StatusCode::kUnauthenticated,
              absl::StrCat(said,
                           "; check the access key and its secret (AWS_ACCESS_KEY_ID, "
                           "AWS_SECRET_ACCESS_KEY or AWS_PROFILE)"),
              error);
  }
  if (code == "NoSuchBucket") {
    return No(absl::StatusCode::kFailedPrecondition,
              absl::StrCat(said,
                           "; there is no such bucket at this endpoint: check its name and "
                           "AWS_ENDPOINT_URL"),
              error);
  }
  if (code == "PermanentRedirect" || code == "AuthorizationHeaderMalformed" ||
      code == "IllegalLocationConstraintException" || code == "TemporaryRedirect") {
    std::string region = error.region;
    if (region.empty()) region = std::string(answer.Header("x-amz-bucket-region"));
    return No(
        absl::StatusCode::kFailedPrecondition,
        absl::StrCat(said, region.empty() ? "; the bucket is in another region: set AWS_REGION"
                                          : absl::StrCat("; the bucket is in ", Shown(region),
                                                         ": set AWS_REGION to it")),
        error);
  }
  if (code == "InvalidObjectState") {
    return No(absl::StatusCode::kFailedPrecondition,
              absl::StrCat(said, "; the object is archived: restore it first"), error);
  }
  if (code == "QuotaExceeded" || code == "XMinioStorageFull" || code == "EntityTooLarge") {
    return No(absl::StatusCode::kResourceExhausted, said, error);
  }
  if (code == "ConditionalRequestConflict" || code == "OperationAborted") {
    return Verdict{Outcome::kUnclear, absl::AbortedError(said), code};
  }
  if (code == "AccessDenied" && !action.empty()) {
    return No(absl::StatusCode::kPermissionDenied,
              absl::StrCat(said, "; these credentials need ", std::string(action), " for it"),
              error);
  }
  return std::nullopt;
}

}  // namespace

Verdict Judge(const absl::StatusOr<HttpAnswer>& answer, std::string_view action) {
  if (!answer.ok()) {
    return {IsRetryable(answer.status()) ? Outcome::kUnclear : Outcome::kNo, answer.status(), ""};
  }
  const std::optional<ErrorBody> body = ParseError(answer->body);
  const bool success = answer->code >= 200 && answer->code < 300;
  if (success && !body.has_value()) return {};
  const ErrorBody error = body.value_or(ErrorBody());
  if (std::optional<Verdict> known = ByCode(*answer, error, action)) return *std::move(known);
  const std::string said = Said(*answer, error);
  if (success) return {Outcome::kUnclear, absl::UnavailableError(said), error.code};
  switch (answer->code) {
    case 404:
      return No(absl::StatusCode::kNotFound, said, error);
    case 401:
      return No(absl::StatusCode::kUnauthenticated, said, error);
    case 403:
      // Also the answer of HEAD, which has no body, for what is missing.
      return No(absl::StatusCode::kPermissionDenied,
                action.empty() ? said
                               : absl::StrCat(said, "; these credentials need ",
                                              std::string(action), " for it"),
                error);
    case 409:
      return {Outcome::kUnclear, absl::AbortedError(said), error.code};
    case 412:
      return No(absl::StatusCode::kFailedPrecondition, said, error);
    case 416:
      return No(absl::StatusCode::kOutOfRange, said, error);
    case 429:
      return {Outcome::kSlowDown, absl::UnavailableError(said), error.code};
    case 501:
      return No(absl::StatusCode::kUnimplemented, said, error);
    case 503:
      return {Outcome::kSlowDown, absl::UnavailableError(said), error.code};
    case 507:
      return No(absl::StatusCode::kResourceExhausted, said, error);
    default:
      break;
  }
  if (answer->code == 408 || answer->code >= 500) {
    return {Outcome::kUnclear, absl::UnavailableError(said), error.code};
  }
  if (answer->code >= 300 && answer->code < 400) {
    // A query may be a signature.
    const std::string_view location = answer->Header("location");
    return No(absl::StatusCode::kFailedPrecondition,
              absl::StrCat(said, "; redirected to ", Shown(location.substr(0, location.find('?'))),
                           ": check AWS_ENDPOINT_URL and AWS_REGION"),
              error);
  }
  return No(absl::StatusCode::kInvalidArgument, said, error);
}

}  // namespace merganser::s3
