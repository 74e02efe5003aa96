#include "common/methods/elementwise.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

#include "common/linalg/convert.h"

namespace merganser {
namespace {

constexpr uint64_t kNone = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kBlock = uint64_t{1} << 16;

}  // namespace

absl::StatusOr<Analysis> Elementwise::Analyze(const Leaf&, int, const Gate&, Executor&) const {
  return absl::InternalError("an elementwise method has nothing to analyze");
}

absl::StatusOr<Gate> Elementwise::Reduce(const TensorNeeds&, int, const Gate&, const GroupStats&,
                                         ReportFields&) const {
  return absl::InternalError("an elementwise method has nothing to reduce");
}

std::optional<uint64_t> FillElements(
    MutableTensorView out, Executor& executor,
    const std::function<void(uint64_t begin, uint64_t count, double* values)>& fill) {
  const uint64_t blocks = out.size / kBlock + (out.size % kBlock != 0);
  std::vector<uint64_t> found(blocks, kNone);
  executor.ParallelFor(blocks, [&](size_t b) {
    double values[kFillElements];
    const uint64_t end = std::min(out.size, (b + 1) * kBlock);
    for (uint64_t at = b * kBlock; at < end && found[b] == kNone; at += kFillElements) {
      const uint64_t n = std::min(kFillElements, end - at);
      fill(at, n, values);
      if (const uint64_t bad = linalg::StoreDoubles(values, out.Slice(at, n)); bad != n) {
        found[b] = at + bad;
      }
    }
  });
  for (const uint64_t index : found) {
    if (index != kNone) return index;
  }
  return std::nullopt;
}

}  // namespace merganser
