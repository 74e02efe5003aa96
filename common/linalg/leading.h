// Steps 1 to 4 of the solver (top_k.cc): block Lanczos on delta^T delta, from a
// start that knows nothing to the leading right singular vectors.
#ifndef MERGANSER_COMMON_LINALG_LEADING_H_
#define MERGANSER_COMMON_LINALG_LEADING_H_

#include <cstddef>

#include "common/linalg/delta_operator.h"
#include "common/linalg/krylov.h"
#include "common/linalg/top_k.h"

namespace merganser::linalg {

inline constexpr double kGap = 1.01;  // sigma_K / sigma_{K+1}; below it a head is ill-defined
// angle * sigma_K / sigma_1: a direction that small does not matter
inline constexpr double kHeadError = 1e-9;

inline constexpr double kValueError = 1e-6;  // of sigma^2, where the vectors are not defined

// What an error in the head may be of the whole task vector, and the angle that it may
// come from at most.
inline constexpr double kShareError = 1e-6;
inline constexpr double kLargestAngle = 1e-5;

struct Leading {
  size_t count = 0;       // columns of V that were found, at most K + 1
  double next_bound = 0;  // sigma_{K+1} is at most about this
  double norm = 0;        // of delta, estimated; 0 where it was not
  int steps = 0;
  bool converged = false;
  bool zero = false;
};

// A few steps in float32, for bf16 pairs, with a probe of its own. True when the
// first leading.count (K + 1) columns of basis.vectors() are near enough to the
// head for the last pass to find them sharp; it decides. Else the basis holds a
// block to go on from, or nothing, and `leading` counts the steps alone.
bool FindInFloat32(DeltaOperator& op, KrylovBasis& basis, const KrylovLayout& layout,
                   const TopKOptions& options, Leading& leading);

// Leaves the leading right singular vectors in the first columns of
// basis.vectors(), certified by a probe with vectors that the start did not know.
// Goes on from the basis' block, if it holds one.
void FindLeading(DeltaOperator& op, KrylovBasis& basis, const KrylovLayout& layout,
                 const TopKOptions& options, Leading& leading);

}  // namespace merganser::linalg

#endif  // MERGANSER_COMMON_LINALG_LEADING_H_
