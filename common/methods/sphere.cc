#include "common/methods/sphere.h"

#include <algorithm>
#include <cmath>

#include "common/methods/deterministic_math.h"

namespace merganser {

double Cosine(double ab, double aa, double bb) {
  if (aa == 0 || bb == 0) return 0;
  // The root of a square is exact; the root of each alone would not be.
  const double product = aa * bb;
  const double norms = std::isnormal(product) ? std::sqrt(product) : std::sqrt(aa) * std::sqrt(bb);
  return std::clamp(ab / norms, -1.0, 1.0);
}

std::pair<double, double> ArcWeights(double angle, double t) {
  const double sine = DeterministicSin(angle);
  return {DeterministicSin((1 - t) * angle) / sine, DeterministicSin(t * angle) / sine};
}

absl::Status CheckGram(std::span<const double> entries) {
  for (const double entry : entries) {
    if (!std::isfinite(entry)) {
      return absl::OutOfRangeError("its norms overflow float64: its values are too large to merge");
    }
  }
  return absl::OkStatus();
}

}  // namespace merganser
