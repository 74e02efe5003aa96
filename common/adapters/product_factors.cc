#include "common/adapters/product_factors.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/linalg/block_ops.h"

namespace merganser {
namespace {

// Vectors of columns.length(), one behind the other, times a factor each; columns from `first` on.
void Put(std::span<const double> vectors, std::span<const double> factors, size_t first,
         FactorColumns& columns) {
  for (size_t k = 0; k < factors.size(); ++k) {
    linalg::Scale(factors[k], vectors.data() + k * columns.length(), columns.length(),
                  columns.column(first + k));
  }
}

}  // namespace

absl::StatusOr<LoraFactors> FactorProduct(FactorColumns left, FactorColumns right,
                                          const LoraRank& rank, DType dtype, Executor& executor) {
  MERGANSER_ASSIGN_OR_RETURN(ProductSvd svd,
                             DecomposeProduct(std::move(left), std::move(right), executor));
  Triplets& triplets = svd.triplets;
  const size_t all = triplets.sigma.size();
  const size_t most = std::min<uint64_t>(rank.most, all);
  // The sum, and behind it what is stored with the other sign.
  FactorColumns rows(static_cast<size_t>(triplets.rows), all + most);
  FactorColumns cols(static_cast<size_t>(triplets.cols), all + most);
  Put(triplets.u, triplets.sigma, 0, rows);
  Put(triplets.v, std::vector<double>(all, 1.0), 0, cols);
  MERGANSER_ASSIGN_OR_RETURN(LoraFactors factors,
                             FactorTriplets(rank, svd.squares, dtype, triplets));
  Put(triplets.u, std::vector<double>(factors.rank, -1.0), all, rows);
  Put(triplets.v, std::vector<double>(factors.rank, 1.0), all, cols);
  MERGANSER_ASSIGN_OR_RETURN(factors.lost,
                             ProductSquares(std::move(rows), std::move(cols), executor));
  return factors;
}

uint64_t FactorProductBytes(uint64_t rows, uint64_t cols, uint64_t count, uint64_t most) {
  const uint64_t all = std::min({rows, cols, count});
  const uint64_t sides = linalg::PadLanes(rows) + linalg::PadLanes(cols);
  const uint64_t again = all + std::min(most, all);
  // Both sides are stored twice; triangles of the difference beside its columns.
  return ProductSvdBytes(rows, cols, count) +
         (sides * (again + 2 * all) + 4 * linalg::PadLanes(again) * linalg::PadLanes(again)) *
             sizeof(double);
}

}  // namespace merganser
