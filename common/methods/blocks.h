// How elementwise methods walk over a leaf: blocks of fixed size, spread over
// threads and combined in block order, each in chunks that stay in the first cache.
#ifndef MERGANSER_COMMON_METHODS_BLOCKS_H_
#define MERGANSER_COMMON_METHODS_BLOCKS_H_

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "common/base/executor.h"
#include "common/linalg/block_ops.h"
#include "common/linalg/convert.h"

namespace merganser {

// x or 0, without a branch: one on random numbers is guessed wrong half the time.
inline double KeepIf(bool kept, double x) {
  return std::bit_cast<double>(std::bit_cast<uint64_t>(x) & -static_cast<uint64_t>(kept));
}

inline constexpr uint64_t kBlockElements = uint64_t{1} << 16;
inline constexpr uint64_t kChunkElements = 1024;  // a multiple of linalg::kLanes

// Calls `visit(at, n)` for the chunks of [begin, end).
template <typename Visit>
void ForChunks(uint64_t begin, uint64_t end, Visit visit) {
  for (uint64_t at = begin; at < end; at += kChunkElements) {
    visit(at, std::min(kChunkElements, end - at));
  }
}

// `count` sums over [0, elements): `visit(begin, end, sums)` adds a block's to sums
// that are 0 before. Blocks may run at once; their sums are added in block order.
template <typename Visit>
std::vector<double> SumBlocks(uint64_t elements, size_t count, Executor& executor, Visit visit) {
  const uint64_t blocks = elements / kBlockElements + (elements % kBlockElements != 0);
  std::vector<double> partial(blocks * count);
  executor.ParallelFor(blocks, [&](size_t b) {
    const uint64_t begin = b * kBlockElements;
    visit(begin, std::min(elements, begin + kBlockElements), partial.data() + b * count);
  });
  std::vector<double> sums(count);
  for (size_t b = 0; b < blocks; ++b) {
    for (size_t i = 0; i < count; ++i) sums[i] += partial[b * count + i];
  }
  return sums;
}

// Fills `out`: `visit(at, n, y)` writes elements [at, at + n) to y[0, n), a chunk
// with room for PadLanes(n). Rounds them once. Index of the first element that is
// too large for out.dtype, if any.
template <typename Visit>
std::optional<uint64_t> StoreBlocks(MutableTensorView out, Executor& executor, Visit visit) {
  const uint64_t blocks = out.size / kBlockElements + (out.size % kBlockElements != 0);
  std::vector<uint64_t> found(blocks, out.size);
  executor.ParallelFor(blocks, [&](size_t b) {
    const uint64_t begin = b * kBlockElements;
    double y[kChunkElements];
    ForChunks(begin, std::min(out.size, begin + kBlockElements), [&](uint64_t at, uint64_t n) {
      if (found[b] != out.size) return;
      visit(at, n, y);
      const uint64_t bad = linalg::StoreDoubles(y, out.Slice(at, n));
      if (bad != n) found[b] = at + bad;
    });
  });
  for (const uint64_t index : found) {
    if (index != out.size) return index;
  }
  return std::nullopt;
}

// A sum of magnitudes on fixed lanes.
class MagnitudeSum {
 public:
  // x[0, PadLanes(n)), zero beyond n.
  void Add(const double* x, uint64_t n) {
    for (uint64_t e = 0; e < n; e += linalg::kLanes) {
      for (size_t lane = 0; lane < linalg::kLanes; ++lane) lanes_[lane] += std::abs(x[e + lane]);
    }
  }
  double Sum() const { return linalg::SumLanes(lanes_); }

 private:
  double lanes_[linalg::kLanes] = {};
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_BLOCKS_H_
