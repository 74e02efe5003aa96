#include "common/storage/s3/aws/cached_credentials.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/base/guarded.h"

namespace merganser::s3 {
namespace {

constexpr Duration kAhead = std::chrono::minutes(5);
constexpr Duration kAfterFailure = std::chrono::seconds(30);

}  // namespace

absl::StatusOr<Credentials> CachedCredentials::Get(const Credentials* ended) {
  MutexLock lock(mutex_);
  const WallTime now = clock_.WallNow();
  const bool holds =
      current_.has_value() && now < ends_ && (ended == nullptr || !(*ended == *current_));
  if (holds) {
    // What it comes to is looked at by those who have nothing else.
    if (now >= renew_at_ && !fetching_) Renew().IgnoreError();
    return *current_;
  }
  if (!fetching_) {
    if (absl::Status renewed = Renew(); !renewed.ok()) return renewed;
    return *current_;
  }
  while (fetching_) fetched_.Wait(mutex_);
  if (!last_.ok()) return last_;
  return *current_;
}

absl::Status CachedCredentials::Renew() {
  fetching_ = true;
  mutex_.Unlock();
  absl::StatusOr<Credentials> fetched = Guarded(fetch_);
  mutex_.Lock();
  fetching_ = false;
  last_ = fetched.status();
  if (fetched.ok()) {
    Keep(*std::move(fetched));
  } else {
    renew_at_ = clock_.WallNow() + kAfterFailure;
  }
  fetched_.NotifyAll();
  return last_;
}

void CachedCredentials::Keep(Credentials credentials) {
  const WallTime now = clock_.WallNow();
  renew_at_ = ends_ = WallTime::max();
  if (credentials.expires.has_value()) {
    // New ones that have ended already: by this machine's clock alone, it seems.
    const bool doubtful = *credentials.expires <= now;
    ends_ = doubtful ? now + 2 * kAhead : *credentials.expires;
    renew_at_ = ends_ - std::min(kAhead, (ends_ - now) / 2);
  }
  current_ = std::move(credentials);
}

}  // namespace merganser::s3
