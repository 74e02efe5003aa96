// Numbers for people, the same in model card, summary and inspection.
#ifndef MERGANSER_COMMON_PUBLISH_NUMBERS_H_
#define MERGANSER_COMMON_PUBLISH_NUMBERS_H_

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/format.h"

namespace merganser {

// "17", "4.10 K", "494 M", "7.62 B": three digits, by thousands.
inline std::string FormatCount(uint64_t count) {
  if (count < 1000) return absl::StrCat(count);
  double value = static_cast<double>(count);
  const char* unit = "";
  for (const char* next : {"K", "M", "B", "T"}) {
    if (value < 999.5) break;
    value /= 1000;
    unit = next;
  }
  const int digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return Formatted("%.*f %s", digits, value, unit);
}

// The shortest of up to 15 significant digits: "0.2", "1", "1e-08".
inline std::string ShortNumber(double value) { return Formatted("%.15g", value); }

}  // namespace merganser

#endif  // MERGANSER_COMMON_PUBLISH_NUMBERS_H_
