// Who has logged in with a browser.
#ifndef MERGANSER_COORDINATOR_HTTP_SITE_SESSIONS_H_
#define MERGANSER_COORDINATOR_HTTP_SITE_SESSIONS_H_

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "coordinator/service/auth/authorizer.h"

namespace merganser::http {

struct SessionLimits {
  size_t sessions = 4096;  // in all; beyond, the oldest of whoever has most ends
  size_t of_owner = 64;    // beyond, his oldest ends
  Duration age = std::chrono::hours(12);
};

struct Session {
  std::string authorization;  // "Bearer TOKEN", as a call has it
  Caller caller;
  WallTime expires;
};

// A session is a random id that stands for a token, in the memory of this process alone. It is as
// good as the token is at that moment. Thread-safe.
class Sessions {
 public:
  // All must outlive this.
  Sessions(const Authorizer& authorizer, const Clock& clock, const SessionLimits& limits = {})
      : authorizer_(authorizer), clock_(clock), limits_(limits) {}

  struct Opened {
    std::string id;
    Session session;
  };
  // Errors as Authorizer::Identify has them.
  absl::StatusOr<Opened> Open(std::string_view token) MERGANSER_EXCLUDES(mutex_);
  // Nothing where there is none of that id, or not any more; one whose token is gone ends by this.
  std::optional<Session> Find(std::string_view id) MERGANSER_EXCLUDES(mutex_);
  void Close(std::string_view id) MERGANSER_EXCLUDES(mutex_);
  size_t size() const MERGANSER_EXCLUDES(mutex_);

 private:
  struct Entry {
    std::string secret;  // the second half of its id
    std::string authorization;
    std::string owner;
    MonotonicTime opened;
    WallTime expires;
  };
  // By the first half of the id: time tells nothing of the second.
  using Entries = std::map<std::string, Entry, std::less<>>;
  Entries::iterator Lookup(std::string_view id) MERGANSER_REQUIRES(mutex_);
  void Forget(Entries::iterator entry) MERGANSER_REQUIRES(mutex_);
  void MakeRoom(const std::string& owner) MERGANSER_REQUIRES(mutex_);

  const Authorizer& authorizer_;
  const Clock& clock_;
  const SessionLimits limits_;
  mutable Mutex mutex_;
  Entries entries_ MERGANSER_GUARDED_BY(mutex_);
  std::map<std::string, size_t> of_owner_ MERGANSER_GUARDED_BY(mutex_);
};

// A key that opens one session, once, within some minutes: for a link that whoever starts a
// coordinator follows. Thread-safe.
class LoginKey {
 public:
  static constexpr Duration kAge = std::chrono::minutes(10);

  LoginKey(std::string token, const Clock& clock);

  const std::string& key() const { return key_; }
  // The token, where `key` is the one, was not shown before, and its time is not over.
  std::optional<std::string> Use(std::string_view key) MERGANSER_EXCLUDES(mutex_);

 private:
  const std::string key_;
  const Clock& clock_;
  const MonotonicTime until_;
  Mutex mutex_;
  std::string token_ MERGANSER_GUARDED_BY(mutex_);  // empty once it was used
};

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_SITE_SESSIONS_H_
