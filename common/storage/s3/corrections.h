// What a bucket's answers teach of how its requests are to be signed.
#ifndef MERGANSER_COMMON_STORAGE_S3_CORRECTIONS_H_
#define MERGANSER_COMMON_STORAGE_S3_CORRECTIONS_H_

#include <optional>
#include <string>
#include <utility>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/storage/http/http_client.h"

namespace merganser::s3 {

// How a request is signed.
struct Signing {
  WallTime time;
  std::string region;
  Duration offset = Duration::zero();  // of `time` from the local clock
};

// The region that `answer` says a bucket is in, where it refuses a request signed for `region`;
// nullopt where it says none, or that one.
std::optional<std::string> OtherRegion(const HttpAnswer& answer, const std::string& region);

// Thread-safe.
class Corrections {
 public:
  explicit Corrections(std::string region) : region_(std::move(region)) {}

  // How to sign at `now` of the local clock.
  Signing At(WallTime now) const MERGANSER_EXCLUDES(mutex_);

  // Whether `answer`, which refuses a request signed so, says how to do better: by the server's
  // clock, or for another region. At() heeds it from now on.
  bool Learn(const HttpAnswer& answer, const Signing& signing) MERGANSER_EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  Duration offset_ MERGANSER_GUARDED_BY(mutex_) = Duration::zero();  // of the server's clock
  std::string region_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_CORRECTIONS_H_
