#include "common/storage/s3/corrections.h"

#include "common/storage/s3/aws/clock_skew.h"
#include "common/storage/s3/environment.h"
#include "common/storage/s3/xml.h"

namespace merganser::s3 {

std::optional<std::string> OtherRegion(const HttpAnswer& answer, const std::string& region) {
  if (answer.code != 301 && answer.code != 307 && answer.code != 400 && answer.code != 403) {
    return std::nullopt;
  }
  std::string other(answer.Header("x-amz-bucket-region"));
  if (other.empty()) {
    const std::optional<ErrorBody> error = ParseError(answer.body);
    if (error.has_value()) other = error->region;
  }
  // It becomes part of a host's name.
  if (other == region || !CheckRegion(other).ok()) return std::nullopt;
  return other;
}

Signing Corrections::At(WallTime now) const {
  MutexLock lock(mutex_);
  return {now + offset_, region_, offset_};
}

bool Corrections::Learn(const HttpAnswer& answer, const Signing& signing) {
  const std::optional<Duration> skew = ClockSkew(answer, signing.time);
  const std::optional<std::string> region = OtherRegion(answer, signing.region);
  if (!skew.has_value() && !region.has_value()) return false;
  MutexLock lock(mutex_);
  // Not added to what stands there: others may have learned the same meanwhile.
  if (skew.has_value()) offset_ = signing.offset + *skew;
  if (region.has_value()) region_ = *region;
  return true;
}

}  // namespace merganser::s3
