// Exact order statistics of 32-bit keys over any number of leaves, without a sort:
// one round counts keys by their upper 16 bits, the next by their lower 16 bits
// inside the bins that hold what is wanted. Only integers are added, so no order
// and no cut into leaves changes the result.
//
// Keys are ranked as unsigned numbers. The float32 bits of values that are not
// negative are such keys (MagnitudeKey). A track is a population with ranks of its
// own, such as one expert's magnitudes.
//
//   round 0   Analyze: CountKeys (or KeyCounter) without ranges
//             Reduce:  ranks from TrackTotal, then FindRanges; the ranges are the
//                      state (AppendRanges, ReadRanges)
//   round 1   Analyze: CountKeys with the ranges
//             Reduce:  FindKeys
#ifndef MERGANSER_COMMON_METHODS_ORDER_STATISTICS_H_
#define MERGANSER_COMMON_METHODS_ORDER_STATISTICS_H_

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/executor.h"
#include "common/methods/merge_method.h"

namespace merganser {

// |x| rounded to float32 (to nearest even), as its bits: they order as |x| does.
inline uint32_t MagnitudeKey(double x) {
  return std::bit_cast<uint32_t>(static_cast<float>(std::abs(x)));
}
inline double KeyMagnitude(uint32_t key) { return static_cast<double>(std::bit_cast<float>(key)); }

// The least key whose magnitude is at least `threshold`: that of infinity and the next
// are beyond every finite magnitude. For a threshold that is no number, beyond all.
inline uint32_t LeastKey(double threshold) {
  if (std::isnan(threshold)) return 0x7fffffff;
  if (threshold <= 0) return 0;
  const uint32_t key = MagnitudeKey(threshold);
  return key + (KeyMagnitude(key) < threshold);
}

// The element of `rank` among the track's keys in ascending order, from 0.
struct WantedRank {
  uint32_t track = 0;
  uint64_t rank = 0;
};

// A wanted rank after round 0: its key has these upper bits.
struct KeyRange {
  uint32_t track = 0;
  uint32_t upper = 0;
  uint64_t rank = 0;   // as wanted
  uint64_t below = 0;  // keys of the track with smaller upper bits

  bool operator==(const KeyRange&) const = default;
};
using KeyRanges = std::vector<KeyRange>;

// A wanted rank's key, and how many keys of the track are smaller and how many the
// same: below <= rank < below + equal.
struct OrderStatistic {
  uint32_t key = 0;
  uint64_t below = 0;
  uint64_t equal = 0;

  bool operator==(const OrderStatistic&) const = default;
};

// --- Reduce. Histograms come from other processes: what does not fit is kInternal.

// Keys of the track in a histogram of round 0.
uint64_t TrackTotal(const Counts& counts, uint32_t track);

// From a histogram of round 0; one a wanted rank, in their order. A rank beyond
// the track's keys is kInternal.
absl::StatusOr<KeyRanges> FindRanges(const Counts& counts, std::span<const WantedRank> wanted);

// From a histogram of round 1; one a range, in their order.
absl::StatusOr<std::vector<OrderStatistic>> FindKeys(const Counts& counts, const KeyRanges& ranges);

// Ranges as numbers of a Gate, kRangeValues each.
inline constexpr size_t kRangeValues = 4;
void AppendRanges(const KeyRanges& ranges, std::vector<double>& values);
absl::StatusOr<KeyRanges> ReadRanges(std::span<const double> values);

// --- Analyze

// Counts keys of one track, densely: 512 KiB, in round 1 as much for every bin
// that holds a wanted rank. Not thread-safe: one a block of work, then Add.
class KeyCounter {
 public:
  // Empty `ranges` are round 0. Else keys outside of the track's ranges are passed
  // over; a track without ranges counts nothing.
  KeyCounter(const KeyRanges& ranges, uint32_t track);

  void Add(std::span<const uint32_t> keys);
  // Adds a counter that was made for the same ranges and track.
  void Add(const KeyCounter& other);
  bool counts_nothing() const { return cells_.empty(); }
  // Adds what was counted behind `to`; tracks must come in ascending order.
  void AppendTo(Counts& to) const;

 private:
  struct Cell {
    uint32_t upper = 0;
    uint64_t key = 0;  // of the histogram, less the bin
  };
  bool first_round_;
  std::vector<Cell> cells_;
  std::vector<uint64_t> dense_;
};

// Elements that a KeyLoader is asked for at a time, at most.
inline constexpr uint64_t kKeyChunk = 1024;
// Writes the keys of elements [at, at + n) of a track to keys[0, n). Called from
// several threads.
using KeyLoader = std::function<void(uint32_t track, uint64_t at, uint64_t n, uint32_t* keys)>;

// The histogram of `elements` elements, each with a key on every track.
Counts CountKeys(const KeyRanges& ranges, uint32_t tracks, uint64_t elements, Executor& executor,
                 const KeyLoader& load);

// Upper bounds for TensorNeeds, where a leaf has `leaf_elements` elements and
// `wanted` ranks are wanted of every track: the workspace of CountKeys, and the
// histogram that it returns.
uint64_t CountKeysBytes(uint64_t leaf_elements, uint32_t tracks, uint32_t wanted);
uint64_t KeyCountsBytes(uint64_t leaf_elements, uint32_t tracks, uint32_t wanted);

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_ORDER_STATISTICS_H_
