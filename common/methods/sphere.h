// Geometry of vectors known by their inner products alone: angles and the
// weights of spherical interpolation.
#ifndef MERGANSER_COMMON_METHODS_SPHERE_H_
#define MERGANSER_COMMON_METHODS_SPHERE_H_

#include <span>
#include <utility>

#include "absl/status/status.h"
#include "common/linalg/gram.h"

namespace merganser {

// Squares that are smaller relative to their terms are what rounding left of
// zero: a Gram matrix in float64 cannot tell.
inline constexpr double kGramNoise = 1e-14;

// ab / sqrt(aa * bb), within [-1, 1]; 0 where aa or bb is. Exactly 1 for a vector
// and itself, exactly -1 for it and its opposite.
double Cosine(double ab, double aa, double bb);

// The weights of a and b on the arc at `angle` (radians, its sine not 0) from a
// (t = 0) to b (t = 1): sin((1 - t) angle) / sin(angle), sin(t angle) / sin(angle).
std::pair<double, double> ArcWeights(double angle, double t);

// kOutOfRange when an inner product overflowed.
absl::Status CheckGram(std::span<const double> entries);

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_SPHERE_H_
