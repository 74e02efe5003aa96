// The operator that the solver and the streaming kernels see: a task vector
// that is never formed.
#ifndef MERGANSER_COMMON_LINALG_TASK_VECTOR_H_
#define MERGANSER_COMMON_LINALG_TASK_VECTOR_H_

#include <cstdint>
#include <vector>

#include "common/tensor/view.h"

namespace merganser {

// delta = expert - base, rows x cols, row-major, or the expert itself where that is a task vector
// (TensorView::delta). Both views hold rows * cols
// elements of a computable dtype (F64, F32, F16, BF16; they may differ). All
// values are finite: the caller has checked (FindNonFinite).
struct TaskVector {
  TensorView base;
  TensorView expert;
  int64_t rows = 0;
  int64_t cols = 0;
};

// Leading singular triplets of a task vector: delta ~ sum_k sigma[k] u_k v_k^T.
struct Triplets {
  int k = 0;  // how many
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<double> sigma;  // k, descending
  std::vector<double> u;      // k x rows: u_k at u[k * rows], unit norm (or zero where sigma is 0)
  std::vector<double> v;      // k x cols
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_LINALG_TASK_VECTOR_H_
