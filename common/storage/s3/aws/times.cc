#include "common/storage/s3/aws/times.h"

#include <chrono>
#include <string>

#include "absl/time/time.h"

namespace merganser::s3 {

std::optional<WallTime> TimeOf(std::string_view text) {
  absl::Time time;
  std::string ignored;
  const absl::string_view view(text.data(), text.size());
  constexpr int64_t kFarthest = int64_t{1} << 33;  // seconds, which is some 270 years
  for (const char* const format :
       {absl::RFC3339_full, "%Y-%m-%dT%H:%M:%E*SUTC", "%a, %d %b %Y %H:%M:%S GMT"}) {
    // A WallTime does not reach much farther.
    if (absl::ParseTime(format, view, &time, &ignored) &&
        time > absl::FromUnixSeconds(-kFarthest) && time < absl::FromUnixSeconds(kFarthest)) {
      return std::chrono::time_point_cast<Duration>(absl::ToChronoTime(time));
    }
  }
  return std::nullopt;
}

}  // namespace merganser::s3
