// One row under SCF-RKL: its importances against an expert, and what experts take of it
// (scf_rkl.h has the formulas).
#ifndef MERGANSER_COMMON_METHODS_SCF_RKL_ROW_H_
#define MERGANSER_COMMON_METHODS_SCF_RKL_ROW_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/linalg/row_divergence.h"
#include "common/tensor/view.h"

namespace merganser {

// Buffers for rows of `cols` elements, one row after the other. Not thread-safe.
class ScfRklRow {
 public:
  explicit ScfRklRow(size_t cols);

  // What one takes.
  static uint64_t Bytes(size_t cols);

  // Begins with the base's row.
  void Begin(const TensorView& base);

  // Nobody has taken anything.
  void BeginTaking();

  // The importances of `expert` against the base's row, after Begin.
  // Returns the row's divergence.
  double Measure(const TensorView& base, const TensorView& expert, bool by_element);

  // The same where the divergence is known; needs no Begin.
  void MeasureAs(const TensorView& base, const TensorView& expert, double divergence);

  // The same against what Fuse has made of the row so far.
  void MeasureAgainstNow(const TensorView& expert, bool by_element);

  // The keys of what was measured (magnitude_keys.h); only where delta is not zero if
  // `changed`, and then until the next measurement.
  std::span<const uint32_t> Keys(bool changed);

  // Takes the coordinates that reach `least` where no earlier expert has as great an
  // importance.
  void Compete(uint32_t least, double weight, size_t expert);

  // Moves the row towards the expert at the coordinates that reach `least`.
  void Fuse(uint32_t least, double weight, size_t expert);

  // Base plus what was taken to `out`; adds how many coordinates each expert has given to
  // `selected`. The index of an overflow, or cols.
  uint64_t Store(const TensorView& base, MutableTensorView out, std::vector<double>& selected);

 private:
  double MeasureDelta(bool by_element);

  const size_t cols_, padded_;
  linalg::SoftmaxRow soft_;
  std::vector<double> now_, terms_, delta_, each_, best_, added_, taker_;
  std::vector<uint32_t> keys_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_SCF_RKL_ROW_H_
