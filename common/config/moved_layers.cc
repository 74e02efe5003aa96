#include "common/config/moved_layers.h"

#include <algorithm>

namespace merganser {

bool MovedLayers::Begins() const {
  for (uint64_t layer = 0; layer < size(); ++layer) {
    if (origins_[layer] != layer) return false;
  }
  return true;
}

bool MovedLayers::Repeats(uint64_t period) const {
  for (uint64_t layer = 0; layer < size(); ++layer) {
    if (origins_[layer] % period != layer % period) return false;
  }
  return true;
}

std::optional<uint64_t> MovedLayers::First(uint64_t count) const {
  const auto below = [&](uint64_t origin) { return origin < count; };
  if (!std::is_partitioned(origins_.begin(), origins_.end(), below)) return std::nullopt;
  const auto first = static_cast<uint64_t>(std::count_if(origins_.begin(), origins_.end(), below));
  // All of them: by a number that may be more than their number.
  if (first == size()) return count == before_ || count < size() ? size() : count;
  return first;
}

std::optional<uint64_t> MovedLayers::UpTo(uint64_t last) const {
  const std::optional<uint64_t> first = First(last + 1);
  if (!first.has_value() || *first == 0) return std::nullopt;
  return *first - 1;
}

std::optional<uint64_t> MovedLayers::Last(uint64_t count) const {
  if (count == 0) return 0;
  if (count > before_) return std::nullopt;
  const auto early = [&](uint64_t origin) { return origin < before_ - count; };
  if (!std::is_partitioned(origins_.begin(), origins_.end(), early)) return std::nullopt;
  return size() - static_cast<uint64_t>(std::count_if(origins_.begin(), origins_.end(), early));
}

std::optional<uint64_t> MovedLayers::Offset(uint64_t period, uint64_t offset) const {
  for (uint64_t tried = 0; tried < period; ++tried) {
    bool fits = true;
    for (uint64_t layer = 0; layer < size() && fits; ++layer) {
      fits = (origins_[layer] % period == offset % period) == (layer % period == tried);
    }
    if (fits) return tried;
  }
  return std::nullopt;
}

bool MovedLayers::Ascends(const std::vector<uint64_t>& numbers) {
  return std::adjacent_find(numbers.begin(), numbers.end(),
                            [](uint64_t a, uint64_t b) { return a >= b; }) == numbers.end();
}

uint64_t MovedLayers::FirstNumber(const std::vector<uint64_t>& numbers) const {
  const auto has = [&](uint64_t number) {
    return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
  };
  const bool beyond = std::any_of(numbers.begin(), numbers.end(),
                                  [&](uint64_t number) { return number > before_; });
  return has(before_) && !has(0) && !beyond ? 1 : 0;
}

std::vector<uint64_t> MovedLayers::Renumber(const std::vector<uint64_t>& numbers,
                                            uint64_t first) const {
  std::vector<uint64_t> anew;
  for (uint64_t layer = 0; layer < size(); ++layer) {
    const uint64_t number = origins_[layer] + first;
    if (std::find(numbers.begin(), numbers.end(), number) != numbers.end()) {
      anew.push_back(layer + first);
    }
  }
  return anew;
}

}  // namespace merganser
