// A task vector as a linear operator, applied by streaming passes over base and
// expert: nothing of the size of the matrix is ever formed.
#ifndef MERGANSER_COMMON_LINALG_DELTA_OPERATOR_H_
#define MERGANSER_COMMON_LINALG_DELTA_OPERATOR_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/base/executor.h"
#include "common/base/mutex.h"
#include "common/linalg/lane_buffer.h"
#include "common/linalg/task_vector.h"

namespace merganser::linalg {

// How a pass is cut, from shapes alone.
struct PassLayout {
  PassLayout(int64_t rows, int64_t cols, size_t max_block);
  size_t rows, cols;
  size_t padded;      // cols, in whole lanes
  size_t stride;      // of vectors of `cols` doubles; keeps neighbours out of one cache set
  size_t length;      // of packed vectors (delta_pass.h)
  size_t block_rows;  // rows of a block: one task, one partial sum
  size_t blocks;
  size_t scratch;  // doubles a running task needs
  uint64_t Bytes(size_t max_block) const;
};

// Not thread-safe; the executor's threads are its own affair.
class DeltaOperator {
 public:
  // At most `max_block` vectors a pass.
  DeltaOperator(const TaskVector& delta, size_t max_block, Executor& executor);

  // z_j = delta^T (delta x_j) for `count` vectors in one pass; where `w` is not
  // null also w_j = delta x_j. x and z have the layout's stride and are padded;
  // w_j starts at w + j * w_stride. All is of scale() * delta.
  void Apply(const double* x, size_t count, double* z, double* w, size_t w_stride);

  // As Apply without w, in float32 for bf16 pairs: half the time, and errors of
  // about 1e-6 of sigma_1^2. For iterations that float64 refines. Requires
  // HasFloat32(); tiny values may underflow to zero, huge ones overflow.
  void ApplyFloat32(const double* x, size_t count, double* z);
  bool HasFloat32() const;

  // Whether every element of delta is zero: one pass.
  bool IsZero();

  const PassLayout& layout() const { return layout_; }
  // A power of two. Other than 1 only for F64 inputs so large or small that
  // squares would leave the range of float64.
  double scale() const { return scale_; }
  int passes() const { return passes_; }
  bool cancelled() const { return executor_.cancelled(); }

 private:
  double MaxHalfMagnitude();
  // Calls `group` for the rows of every block, kPassRows at a time, and adds up the
  // blocks' partial sums in block order.
  template <typename T, typename Group>
  void Pass(const double* x, size_t count, double* z, Group group);
  TensorView Rows(const TensorView& matrix, size_t first, size_t rows) const {
    return matrix.Slice(uint64_t{first} * layout_.cols, uint64_t{rows} * layout_.cols);
  }
  LaneBuffer TakeScratch();
  void GiveScratch(LaneBuffer scratch);

  const TaskVector delta_;
  const PassLayout layout_;
  Executor& executor_;
  double scale_ = 1;
  int passes_ = 0;
  LaneBuffer packed_;   // max_block x length
  LaneBuffer partial_;  // blocks x max_block x length
  Mutex mutex_;
  std::vector<LaneBuffer> free_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace merganser::linalg

#endif  // MERGANSER_COMMON_LINALG_DELTA_OPERATOR_H_
