// The units of a job that wait for a worker, in the order in which they go out.
#ifndef MERGANSER_COORDINATOR_SCHEDULE_PENDING_H_
#define MERGANSER_COORDINATOR_SCHEDULE_PENDING_H_

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "coordinator/schedule/types.h"

namespace merganser {

// Large units first, by powers of two of their bytes, so that no long one starts
// when the rest is done; among those of about one size in plan order, which reads
// the inputs in sequence. Not thread-safe.
class PendingUnits {
 public:
  // `demand` must be the unit's at every call.
  void Insert(uint32_t unit, const UnitDemand& demand) {
    Size& size = sizes_[SizeOf(demand)];
    size.least_memory = std::min(size.least_memory, demand.memory);
    size_ += size.units.insert(unit).second;
  }
  void Erase(uint32_t unit, const UnitDemand& demand) {
    const auto it = sizes_.find(SizeOf(demand));
    if (it != sizes_.end()) size_ -= it->second.units.erase(unit);
  }
  void Clear() {
    sizes_.clear();
    size_ = 0;
  }
  size_t size() const { return size_; }

  // The first unit, in order, that `fits`. Units of a size of which none needs as
  // little as `memory` are passed over together: a fleet of small workers does not
  // look at every large unit at every call.
  template <typename Fits>
  std::optional<uint32_t> First(uint64_t memory, const Fits& fits) const {
    for (const auto& [bits, size] : sizes_) {
      if (size.least_memory > memory) continue;
      for (const uint32_t unit : size.units) {
        if (fits(unit)) return unit;
      }
    }
    return std::nullopt;
  }

 private:
  struct Size {
    std::set<uint32_t> units;
    uint64_t least_memory = UINT64_MAX;  // of all that were ever here
  };
  static int SizeOf(const UnitDemand& demand) { return std::bit_width(demand.bytes); }

  std::map<int, Size, std::greater<int>> sizes_;
  size_t size_ = 0;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SCHEDULE_PENDING_H_
