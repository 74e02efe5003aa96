// Top-K singular triplets of a task vector, without forming it and without a
// dense SVD of it.
#ifndef MERGANSER_COMMON_LINALG_TOP_K_H_
#define MERGANSER_COMMON_LINALG_TOP_K_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "common/base/executor.h"
#include "common/linalg/task_vector.h"

namespace merganser {

struct TopKOptions {
  int k = 1;
  // Fixed key of the random start block and of the probe: same key, same bytes.
  uint64_t seed = 0;
};

enum class SolverOutcome {
  kConverged,    // certified: residual, gap and deflated probe; the head is within about
                 // 1e-6 of the norm of delta, and vector_error at most 1e-5
  kIllDefined,   // certified as leading, but sigma_K / sigma_{K+1} < 1.01: any
                 // basis of the cluster is as good; see gap_ratio
  kZero,         // delta is zero: k triplets of sigma 0
  kNotConverged  // step limit; the caller fails the job
};

struct TopKResult {
  Triplets triplets;
  SolverOutcome outcome = SolverOutcome::kConverged;
  double sigma_next = 0;  // estimate of sigma_{K+1}
  double gap_ratio = 0;   // sigma_K / sigma_{K+1}; infinity where sigma_{K+1} = 0
  // max_k of ||delta^T u - sigma v|| / sigma_1 for the pairs that the last pass
  // began with, where delta v = sigma u. The triplets are better than that: for
  // them delta^T u = sigma v, and ||delta v - sigma u|| is smaller.
  double residual = 0;
  // Bound on the angle between U and the leading left singular vectors:
  // residual * sigma_1 / (sigma_K - sigma_{K+1}) * sigma_{K+1} / sigma_K. V is better.
  double vector_error = 0;
  int steps = 0;   // block steps of the iteration
  int passes = 0;  // passes over base and expert in all, probes and refinement included
};

// Requires 1 <= k <= min(rows, cols). `options.k` triplets come back always;
// those past the rank of delta have sigma 0 and zero vectors. The result
// depends on the inputs and `options` alone, not on `executor` or the CPU.
// kInvalidArgument on shapes that do not fit; kOutOfRange when a singular value
// overflows float64; kCancelled when `executor` was.
absl::StatusOr<TopKResult> ComputeTopK(const TaskVector& delta, const TopKOptions& options,
                                       Executor& executor);

// Upper bound of the memory that ComputeTopK takes beside its inputs, in bytes.
uint64_t TopKWorkspaceBytes(int64_t rows, int64_t cols, int k);

}  // namespace merganser

#endif  // MERGANSER_COMMON_LINALG_TOP_K_H_
