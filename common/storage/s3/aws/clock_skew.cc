#include "common/storage/s3/aws/clock_skew.h"

#include <chrono>

#include "common/storage/s3/aws/times.h"

namespace merganser::s3 {

std::optional<Duration> ClockSkew(const HttpAnswer& answer, WallTime signed_at) {
  constexpr Duration kTolerated = std::chrono::minutes(5);
  if (answer.code != 400 && answer.code != 403) return std::nullopt;
  const std::optional<WallTime> date = TimeOf(answer.Header("date"));
  if (!date.has_value()) return std::nullopt;
  const Duration skew = *date - signed_at;
  if (skew <= kTolerated && -skew <= kTolerated) return std::nullopt;
  return skew;
}

}  // namespace merganser::s3
