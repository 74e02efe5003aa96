#include "coordinator/service/auth/authorizer.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "grpcpp/server_context.h"
#include "proto/channel/token_file.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

constexpr std::string_view kBearer = "bearer ";
constexpr std::string_view kWatchJob = "/merganser.v1.MergeService/WatchJob";
// Bursts are shorter than this.
constexpr Duration kFullFor = std::chrono::seconds(5);

absl::Status Unauthenticated(std::string_view reason, std::string_view message) {
  return ReasonedError(absl::StatusCode::kUnauthenticated, reason, message);
}

absl::Status Denied(std::string_view reason, const std::string& message,
                    const std::map<std::string, std::string>& metadata) {
  return ReasonedError(absl::StatusCode::kPermissionDenied, reason, message, metadata);
}

std::string ShortName(std::string_view method) {
  return std::string(method.substr(method.rfind('/') + 1));
}

// Streams that take no thread, and are counted where they are served.
bool IsStream(std::string_view method) {
  return method == kWatchJob || method.find("/grpc.reflection.") == 0;
}

absl::Status TooManyCalls(std::string_view method, const std::string& whose) {
  return RetryAfter(
      ReasonedError(absl::StatusCode::kResourceExhausted, "TOO_MANY_CALLS",
                    absl::StrCat(ShortName(method), ": found too many calls of ", whose,
                                 " in progress, expected fewer; call again when some have ended"),
                    {{"owner", whose}}),
      std::chrono::seconds(1));
}

}  // namespace

absl::StatusOr<Caller> Authorizer::Identify(
    const std::vector<std::string_view>& authorization) const {
  if (!open_) {
    return RetryAfter(ReasonedError(absl::StatusCode::kUnavailable, "COORDINATOR_STARTING",
                                    "the coordinator is starting; call again"),
                      std::chrono::seconds(1));
  }
  if (authorization.empty()) {
    return Unauthenticated("TOKEN_MISSING",
                           "found no token, expected one of this coordinator's in the metadata "
                           "`authorization: Bearer TOKEN`");
  }
  std::string_view token = authorization.front();
  const bool bearer = absl::StartsWithIgnoreCase(absl::string_view(token.data(), token.size()),
                                                 absl::string_view(kBearer.data(), kBearer.size()));
  if (bearer) token.remove_prefix(kBearer.size());
  if (authorization.size() > 1 || !bearer || token.size() > kMaxTokenChars) {
    return Unauthenticated("TOKEN_MALFORMED",
                           "found metadata `authorization` of another form, expected one "
                           "`authorization: Bearer TOKEN`");
  }
  Caller caller = tokens_->Current()->Find(token);
  if (caller.roles.empty()) {
    return Unauthenticated("TOKEN_UNKNOWN",
                           "found a token that is none of this coordinator's, expected one of its "
                           "--token-file, or that of the file that it made when it started");
  }
  return caller;
}

absl::StatusOr<Caller> Authorizer::Check(std::string_view method,
                                         const std::vector<std::string_view>& authorization) const {
  MERGANSER_ASSIGN_OR_RETURN(Caller caller, Identify(authorization));
  const std::optional<Role> role = RoleOf(method);
  if (!role.has_value()) {
    return Denied("METHOD_UNLISTED",
                  absl::StrCat(std::string(method),
                               ": found no role that may call it, expected an "
                               "rpc that this coordinator knows"),
                  {{"method", std::string(method)}});
  }
  if (!caller.roles.Allows(*role)) {
    return Denied("ROLE_MISSING",
                  absl::StrCat(ShortName(method), ": found a token with the role ",
                               caller.roles.ToString(), ", expected one with ",
                               std::string(RoleName(*role)), "; ask the coordinator's operator"),
                  {{"method", std::string(method)}, {"role", std::string(RoleName(*role))}});
  }
  return caller;
}

absl::StatusOr<FairSeats::Seat> Authorizer::Enter(std::string_view method,
                                                  const std::string& who) const {
  if (IsStream(method)) return FairSeats::Seat();
  const bool work = RoleOf(method) == Role::kWork;
  std::optional<FairSeats::Seat> seat = work ? workers_.TakeAny(who) : users_.Take(who);
  if (!seat.has_value()) return TooManyCalls(method, work ? "workers" : who);
  return *std::move(seat);
}

absl::StatusOr<Admission> Authorizer::Admit(
    std::string_view method, const std::vector<std::string_view>& authorization) const {
  Admission admission;
  MERGANSER_ASSIGN_OR_RETURN(admission.caller, Check(method, authorization));
  if (RoleOf(method) == Role::kWork || IsStream(method)) return admission;
  std::optional<FairSeats::Seat> seat = at_work_.Take(admission.caller.name);
  if (!seat.has_value()) return TooManyCalls(method, admission.caller.name);
  admission.seat = *std::move(seat);
  return admission;
}

bool Authorizer::Full() const {
  return std::max({users_.FullFor(), workers_.FullFor(), at_work_.FullFor()}) >= kFullFor;
}

absl::StatusOr<Admission> Admit(const Authorizer& authorizer,
                                const grpc::ServerContextBase& context, std::string_view method) {
  std::vector<std::string_view> values;
  const auto [begin, end] = context.client_metadata().equal_range("authorization");
  for (auto it = begin; it != end; ++it) values.emplace_back(it->second.data(), it->second.size());
  return authorizer.Admit(method, values);
}

}  // namespace merganser
