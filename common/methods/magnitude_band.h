// Keeps a band of ranks by magnitude: ties keeps the largest elements, breadcrumbs
// those below the very largest. Ranks are by (|d| rounded to float32 descending,
// element index ascending) over the whole tensor, and exact (rank_edges.h).
#ifndef MERGANSER_COMMON_METHODS_MAGNITUDE_BAND_H_
#define MERGANSER_COMMON_METHODS_MAGNITUDE_BAND_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "common/methods/sparsifier.h"

namespace merganser {

// What of n elements is kept: ranks [begin, end), the greatest magnitude first.
struct Band {
  uint64_t begin = 0;
  uint64_t end = 0;

  bool operator==(const Band&) const = default;
};

// The largest density * n, at least one.
Band LargestBand(double density, uint64_t n);
// density * n below the largest gamma * n; fewer of these where not as many are left.
Band CrumbsBand(double density, double gamma, uint64_t n);

struct BandParameters {
  std::vector<double> density;  // one a model; nothing is dropped from 1 on
  std::vector<double> gamma;    // one a model; empty: LargestBand
};
std::unique_ptr<Sparsifier> MakeMagnitudeBand(BandParameters parameters);

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_MAGNITUDE_BAND_H_
