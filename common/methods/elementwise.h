// What methods share whose output is an expression of single elements, with
// nothing to analyze.
#ifndef MERGANSER_COMMON_METHODS_ELEMENTWISE_H_
#define MERGANSER_COMMON_METHODS_ELEMENTWISE_H_

#include <cstdint>
#include <functional>
#include <optional>

#include "common/methods/merge_method.h"

namespace merganser {

// Any split, no rounds.
class Elementwise : public MergeMethod {
 public:
  absl::StatusOr<Analysis> Analyze(const Leaf&, int, const Gate&, Executor&) const override;
  absl::StatusOr<Gate> Reduce(const TensorNeeds&, int, const Gate&, const GroupStats&,
                              ReportFields&) const override;
};

// The most elements that FillElements asks for at once: they stay in the first cache.
inline constexpr uint64_t kFillElements = 1024;

// Calls `fill(begin, count, values)` for runs that make up `out`, in any order, on
// any threads; it writes the `count` values of elements [begin, begin + count),
// which are rounded once to nearest even. `values` is padded as
// linalg::LoadDoubles wants it. Returns the first element that is finite before
// rounding and overflows out.dtype, if any (for OverflowStatus).
std::optional<uint64_t> FillElements(
    MutableTensorView out, Executor& executor,
    const std::function<void(uint64_t begin, uint64_t count, double* values)>& fill);

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_ELEMENTWISE_H_
