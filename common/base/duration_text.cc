#include "common/base/duration_text.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "common/base/format.h"

namespace merganser {
namespace {

// Beyond this nobody reads minutes, and integers are large enough.
constexpr double kMost = 1e9;

// "1 h 10 min"; the second part only where it is more than nothing.
std::string TwoUnits(int64_t first, const char* unit, int64_t rest, const char* rest_unit) {
  std::string text = absl::StrCat(first, " ", unit);
  if (rest > 0) absl::StrAppend(&text, " ", rest, " ", rest_unit);
  return text;
}

}  // namespace

std::string DurationText(double seconds) {
  if (!(seconds > 0)) return "0 s";
  seconds = std::min(seconds, kMost);
  if (seconds < 0.0995)
    return absl::StrCat(std::max<int64_t>(std::llround(seconds * 1000), 1), " ms");
  if (seconds < 0.995) return Formatted("%.2f s", seconds);
  if (seconds < 9.95) return Formatted("%.1f s", seconds);
  const int64_t whole = std::llround(seconds);
  if (whole < 60) return absl::StrCat(whole, " s");
  if (whole < 3600) return TwoUnits(whole / 60, "min", whole % 60, "s");
  const int64_t minutes = std::llround(seconds / 60);
  if (minutes < 24 * 60) return TwoUnits(minutes / 60, "h", minutes % 60, "min");
  const int64_t hours = std::llround(seconds / 3600);
  return TwoUnits(hours / 24, "d", hours % 24, "h");
}

std::string TimeLeftText(double seconds) {
  if (!(seconds >= 10)) return "a few seconds";
  seconds = std::min(seconds, kMost);
  const int64_t fives = std::llround(seconds / 5) * 5;
  if (fives < 120) return absl::StrCat("about ", fives, " s");
  const int64_t minutes = std::llround(seconds / 60);
  if (minutes < 60) return absl::StrCat("about ", minutes, " min");
  const int64_t rounded = std::llround(seconds / 300) * 5;
  return absl::StrCat("about ", TwoUnits(rounded / 60, "h", rounded % 60, "min"));
}

}  // namespace merganser
