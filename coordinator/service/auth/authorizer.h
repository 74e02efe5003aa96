// Who may call what: tokens of calls held against the roles of rpcs.
#ifndef MERGANSER_COORDINATOR_SERVICE_AUTH_AUTHORIZER_H_
#define MERGANSER_COORDINATOR_SERVICE_AUTH_AUTHORIZER_H_

#include <atomic>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/service/auth/fair_seats.h"
#include "coordinator/service/auth/token_keeper.h"
#include "grpcpp/support/status.h"
#include "proto/convert/status_codec.h"

namespace grpc {
class ServerContextBase;
}  // namespace grpc

namespace merganser {

// How many calls there may be, but for streams. Each holds a thread; a user may have no more of
// them than are left (FairSeats), and what workers have is not for users, nor the reverse.
struct CallLimits {
  int users = 96;  // from the request to the moment when the answer was taken
  int workers = 96;
  int at_work = 64;  // of users; their clients may have left
};

// Who calls, and the place among those at work that the call has until this is destroyed.
struct Admission {
  Caller caller;
  FairSeats::Seat seat;
};

// Thread-safe.
class Authorizer {
 public:
  explicit Authorizer(std::unique_ptr<TokenKeeper> tokens, const CallLimits& limits = {},
                      const Clock& clock = SystemClock())
      : tokens_(std::move(tokens)),
        users_(limits.users, clock),
        workers_(limits.workers, clock),
        at_work_(limits.at_work, clock) {}

  // Whose the token is. `authorization` as for Check. Errors, with reasons:
  //   kUnavailable       COORDINATOR_STARTING
  //   kUnauthenticated   TOKEN_MISSING, TOKEN_MALFORMED, TOKEN_UNKNOWN
  absl::StatusOr<Caller> Identify(const std::vector<std::string_view>& authorization) const;

  // Who calls. `authorization` holds all values of that metadata key. Errors, with reasons:
  //   kUnavailable       COORDINATOR_STARTING: Open was not called yet
  //   kUnauthenticated   TOKEN_MISSING, TOKEN_MALFORMED, TOKEN_UNKNOWN
  //   kPermissionDenied  ROLE_MISSING; METHOD_UNLISTED (not in MethodRoles)
  absl::StatusOr<Caller> Check(std::string_view method,
                               const std::vector<std::string_view>& authorization) const;

  // A place for a call of `who`, to be kept until the call has ended, and what it says to its
  // client was taken: before that its thread is not free. Errors:
  //   kResourceExhausted TOO_MANY_CALLS
  absl::StatusOr<FairSeats::Seat> Enter(std::string_view method, const std::string& who) const;

  // Check, and a place among the calls at work. Errors besides:
  //   kResourceExhausted TOO_MANY_CALLS
  absl::StatusOr<Admission> Admit(std::string_view method,
                                  const std::vector<std::string_view>& authorization) const;

  // Whether there was no place at all of one kind for some seconds.
  bool Full() const;

  // Until then every call is told to come again: whoever looks for the token file may
  // still find an old one.
  void Open() { open_ = true; }

 private:
  const std::unique_ptr<TokenKeeper> tokens_;
  std::atomic<bool> open_{false};
  mutable FairSeats users_;
  mutable FairSeats workers_;
  mutable FairSeats at_work_;
};

// Authorizer::Admit with the metadata of a call. `method` as in MethodRoles.
absl::StatusOr<Admission> Admit(const Authorizer& authorizer,
                                const grpc::ServerContextBase& context, std::string_view method);

}  // namespace merganser

// The first line of every method: returns what Admit refuses, declares `caller`, and keeps the
// call's place to its end.
#define MERGANSER_ADMIT(caller, authorizer, context, method)                                \
  const absl::StatusOr<Admission> merganser_admitted_ = Admit(authorizer, context, method); \
  if (!merganser_admitted_.ok()) return ToGrpc(merganser_admitted_.status());               \
  [[maybe_unused]] const Caller& caller = merganser_admitted_->caller

#endif  // MERGANSER_COORDINATOR_SERVICE_AUTH_AUTHORIZER_H_
