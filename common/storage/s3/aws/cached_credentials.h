// Credentials that a process shares and renews before they end.
#ifndef MERGANSER_COMMON_STORAGE_S3_AWS_CACHED_CREDENTIALS_H_
#define MERGANSER_COMMON_STORAGE_S3_AWS_CACHED_CREDENTIALS_H_

#include <functional>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/storage/s3/credentials.h"

namespace merganser::s3 {

// Thread-safe. One caller at a time fetches: while what is there holds, the others go on with it,
// else they wait for what comes of it.
class CachedCredentials {
 public:
  using Fetch = std::function<absl::StatusOr<Credentials>()>;

  CachedCredentials(Fetch fetch, const Clock& clock) : fetch_(std::move(fetch)), clock_(clock) {}

  // Fetched when none are there, 5 minutes before they end (of a life below 10 minutes at its
  // half), and when they are those that `ended`, if it is not null, before their time. A fetch that
  // fails while what is there holds is no error, and is tried again half a minute later.
  absl::StatusOr<Credentials> Get(const Credentials* ended) MERGANSER_EXCLUDES(mutex_);

 private:
  absl::Status Renew() MERGANSER_REQUIRES(mutex_);
  void Keep(Credentials credentials) MERGANSER_REQUIRES(mutex_);

  const Fetch fetch_;
  const Clock& clock_;
  Mutex mutex_;
  CondVar fetched_;
  bool fetching_ MERGANSER_GUARDED_BY(mutex_) = false;
  std::optional<Credentials> current_ MERGANSER_GUARDED_BY(mutex_);
  WallTime renew_at_ MERGANSER_GUARDED_BY(mutex_) = WallTime::max();
  WallTime ends_ MERGANSER_GUARDED_BY(mutex_) = WallTime::max();
  absl::Status last_ MERGANSER_GUARDED_BY(mutex_);  // what the last fetch came to
};

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_AWS_CACHED_CREDENTIALS_H_
