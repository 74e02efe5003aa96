#include "common/base/bytes.h"

#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/checked.h"
#include "common/base/format.h"
#include "common/base/shown.h"

namespace merganser {
namespace {

struct Unit {
  const char* name;  // lower case
  uint64_t bytes;
};

constexpr Unit kUnits[] = {
    {"", 1},
    {"b", 1},
    {"kib", kKiB},
    {"mib", kMiB},
    {"gib", kGiB},
    {"tib", 1024 * kGiB},
    {"kb", 1000},
    {"mb", 1000 * 1000},
    {"gb", 1000ull * 1000 * 1000},
    {"tb", 1000ull * 1000 * 1000 * 1000},
};

// Digits beyond these are below a byte for every unit.
constexpr int kFractionDigits = 15;

absl::Status Refuse(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "size \"", Shown(text), "\": ", std::string(why),
      "; expected a number with an optional unit of B, KB, MB, GB, TB, KiB, MiB, GiB or TiB, such "
      "as 8GiB"));
}

}  // namespace

absl::StatusOr<uint64_t> ParseBytes(std::string_view text) {
  size_t at = 0;
  uint64_t whole = 0;
  const auto digit = [&] { return at < text.size() && text[at] >= '0' && text[at] <= '9'; };
  if (!digit()) return Refuse(text, "does not begin with a digit");
  for (; digit(); ++at) {
    const std::optional<uint64_t> shifted = CheckedMul(whole, 10);
    const std::optional<uint64_t> next =
        shifted ? CheckedAdd(*shifted, static_cast<uint64_t>(text[at] - '0')) : std::nullopt;
    if (!next) return Refuse(text, "is more than 64 bits hold");
    whole = *next;
  }

  bool has_fraction = false;
  uint64_t fraction = 0, fraction_scale = 1;
  if (at < text.size() && text[at] == '.') {
    has_fraction = true;
    ++at;
    if (!digit()) return Refuse(text, "has no digit after the point");
    for (int digits = 0; digit(); ++at, ++digits) {
      if (digits >= kFractionDigits) continue;
      fraction = fraction * 10 + static_cast<uint64_t>(text[at] - '0');
      fraction_scale *= 10;
    }
  }
  while (at < text.size() && text[at] == ' ') ++at;

  const std::string name = absl::AsciiStrToLower(std::string(text.substr(at)));
  for (const Unit& unit : kUnits) {
    if (name != unit.name) continue;
    if (has_fraction && unit.bytes == 1) return Refuse(text, "is not a whole number of bytes");
    const std::optional<uint64_t> bytes = CheckedMul(whole, unit.bytes);
    __extension__ using Wide = unsigned __int128;
    const auto part =
        static_cast<uint64_t>(static_cast<Wide>(fraction) * unit.bytes / fraction_scale);
    const std::optional<uint64_t> sum = bytes ? CheckedAdd(*bytes, part) : std::nullopt;
    if (!sum) return Refuse(text, "is more than 64 bits hold");
    return *sum;
  }
  return Refuse(text, absl::StrCat("has the unknown unit \"", Shown(name), "\""));
}

std::string MemoryFlag(uint64_t bytes) { return absl::StrCat(CeilDiv(bytes, kMiB), "MiB"); }

std::string FormatBytes(uint64_t bytes) {
  constexpr const char* kNames[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < kKiB) return Formatted("%d B", bytes);
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  // 1023.5 and more would be printed as 1024.
  while (value >= 1023.5 && unit + 1 < std::size(kNames)) {
    value /= 1024;
    ++unit;
  }
  // Three significant digits; the limits are where rounding adds a digit.
  const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return Formatted("%.*f %s", decimals, value, kNames[unit]);
}

}  // namespace merganser
