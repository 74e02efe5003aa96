#include "common/adapters/lora_factors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/linalg/block_ops.h"
#include "common/linalg/convert.h"
#include "common/linalg/kernels.h"
#include "common/linalg/top_k.h"

namespace merganser {
namespace {

// Key of the solver's start block: the bytes of adapters hang on it.
constexpr uint64_t kSolverSeed = 0x6c6f72612d746f70;

int CountOf(int64_t rows, int64_t cols, uint64_t most) {
  return static_cast<int>(std::min(most, static_cast<uint64_t>(std::min(rows, cols))));
}

// The sum of squares of delta less the product of `triplets`.
double Rest(const TaskVector& delta, const Triplets& triplets, Executor& executor) {
  return ResidualGram(delta.base, std::span(&delta.expert, 1), std::span(&triplets, 1), delta.rows,
                      delta.cols, executor)[0];
}

// One side of the product: `rank` vectors of `length`, each times its factor, rounded, stored both
// ways round, and put back into `vectors` as what is stored.
absl::Status RoundSide(std::span<const double> factor, size_t length, DType dtype,
                       std::vector<double>& vectors, std::vector<std::byte>& by_rank,
                       std::vector<std::byte>& by_length) {
  const size_t rank = factor.size(), width = BytesPerElement(dtype);
  by_rank.resize(rank * length * width);
  by_length.resize(rank * length * width);
  std::vector<double> line(linalg::PadLanes(length));
  for (size_t k = 0; k < rank; ++k) {
    double* const vector = vectors.data() + k * length;
    std::byte* const row = by_rank.data() + k * length * width;
    for (size_t i = 0; i < length; ++i) line[i] = vector[i] * factor[k];
    if (linalg::StoreDoubles(line.data(), {row, dtype, length}) != length) {
      return absl::OutOfRangeError(
          absl::StrCat("a factor overflows ", std::string(TorchName(dtype)),
                       ": write the adapter as float32 (--dtype float32)"));
    }
    linalg::LoadDoubles({row, dtype, length}, line.data());
    std::copy_n(line.data(), length, vector);
    for (size_t i = 0; i < length; ++i) {
      std::memcpy(by_length.data() + (i * rank + k) * width, row + i * width, width);
    }
  }
  return absl::OkStatus();
}

// The least rank that keeps `energy` of `squares`; all that there are where none does.
size_t RankFor(double energy, double squares, std::span<const double> sigma) {
  double kept = 0;
  for (size_t k = 0; k < sigma.size(); ++k) {
    kept += sigma[k] * sigma[k];
    if (kept >= energy * squares) return k + 1;
  }
  return sigma.size();
}

}  // namespace

absl::StatusOr<LoraFactors> FactorTriplets(const LoraRank& rank, double squares, DType dtype,
                                           Triplets& triplets) {
  const auto rows = static_cast<size_t>(triplets.rows), cols = static_cast<size_t>(triplets.cols);
  LoraFactors factors;
  factors.squares = squares;
  size_t count = 0;
  while (count < triplets.sigma.size() && count < rank.most && triplets.sigma[count] > 0) ++count;
  const std::span<const double> sigma = std::span(triplets.sigma).first(count);
  if (rank.energy.has_value()) count = RankFor(*rank.energy, squares, sigma);
  factors.rank = count;
  factors.sigma.assign(triplets.sigma.begin(),
                       triplets.sigma.begin() + static_cast<std::ptrdiff_t>(count));
  std::vector<double> roots;
  roots.reserve(factors.sigma.size());
  for (const double value : factors.sigma) roots.push_back(std::sqrt(value));
  triplets.k = static_cast<int>(count);
  triplets.u.resize(count * rows);
  triplets.v.resize(count * cols);
  MERGANSER_RETURN_IF_ERROR(
      RoundSide(roots, rows, dtype, triplets.u, factors.rank_by_rows, factors.rows_by_rank));
  MERGANSER_RETURN_IF_ERROR(
      RoundSide(roots, cols, dtype, triplets.v, factors.rank_by_cols, factors.cols_by_rank));
  triplets.sigma.assign(count, 1.0);
  return factors;
}

absl::StatusOr<LoraFactors> FactorDifference(const TaskVector& delta, const LoraRank& rank,
                                             DType dtype, Executor& executor) {
  TopKOptions options;
  options.k = CountOf(delta.rows, delta.cols, rank.most);
  options.seed = kSolverSeed;
  MERGANSER_ASSIGN_OR_RETURN(TopKResult top, ComputeTopK(delta, options, executor));
  if (top.outcome == SolverOutcome::kZero) return LoraFactors();
  if (top.outcome == SolverOutcome::kNotConverged) {
    return absl::InternalError(absl::StrCat(
        "its ", options.k, " leading singular triplets did not converge in ", top.steps,
        " steps: another --rank may do; please report this with its shape and dtype"));
  }
  double kept = 0;
  for (const double value : top.triplets.sigma) kept += value * value;
  const double squares = kept + Rest(delta, top.triplets, executor);
  MERGANSER_ASSIGN_OR_RETURN(LoraFactors factors,
                             FactorTriplets(rank, squares, dtype, top.triplets));
  factors.lost = Rest(delta, top.triplets, executor);
  return factors;
}

uint64_t FactorWorkspaceBytes(int64_t rows, int64_t cols, uint64_t rank) {
  const int k = CountOf(rows, cols, rank);
  const uint64_t sides = static_cast<uint64_t>(k) * static_cast<uint64_t>(rows + cols);
  // The triplets are within the solver's; both sides are stored twice, and packed once more where
  // the rest is measured.
  return TopKWorkspaceBytes(rows, cols, k) + 3 * sides * sizeof(double);
}

}  // namespace merganser
