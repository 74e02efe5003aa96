// Who may call what: tokens of calls held against the roles of rpcs.
#ifndef MERGANSER_COORDINATOR_SERVICE_AUTH_AUTHORIZER_H_
#define MERGANSER_COORDINATOR_SERVICE_AUTH_AUTHORIZER_H_

#include <atomic>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/service/auth/token_keeper.h"
#include "grpcpp/support/status.h"
#include "proto/convert/status_codec.h"

namespace grpc {
class ServerContextBase;
}  // namespace grpc

namespace merganser {

// Thread-safe.
class Authorizer {
 public:
  explicit Authorizer(std::unique_ptr<TokenKeeper> tokens) : tokens_(std::move(tokens)) {}

  // Who calls. `authorization` holds all values of that metadata key. Errors, with reasons:
  //   kUnavailable       COORDINATOR_STARTING: Open was not called yet
  //   kUnauthenticated   TOKEN_MISSING, TOKEN_MALFORMED, TOKEN_UNKNOWN
  //   kPermissionDenied  ROLE_MISSING; METHOD_UNLISTED (not in MethodRoles)
  absl::StatusOr<Caller> Check(std::string_view method,
                               const std::vector<std::string_view>& authorization) const;

  // Until then every call is told to come again: whoever looks for the token file may
  // still find an old one.
  void Open() { open_ = true; }

 private:
  const std::unique_ptr<TokenKeeper> tokens_;
  std::atomic<bool> open_{false};
};

// Check with the metadata of a call. `method` as in MethodRoles.
absl::StatusOr<Caller> Admit(const Authorizer& authorizer, const grpc::ServerContextBase& context,
                             std::string_view method);

}  // namespace merganser

// The first line of every method: returns what Admit refuses, and declares `caller`.
#define MERGANSER_ADMIT(caller, authorizer, context, method)                             \
  const absl::StatusOr<Caller> merganser_admitted_ = Admit(authorizer, context, method); \
  if (!merganser_admitted_.ok()) return ToGrpc(merganser_admitted_.status());            \
  [[maybe_unused]] const Caller& caller = *merganser_admitted_

#endif  // MERGANSER_COORDINATOR_SERVICE_AUTH_AUTHORIZER_H_
