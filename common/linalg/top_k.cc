// How the leading triplets are found, and what vouches for them.
//
// 1. Block Lanczos on delta^T delta, full reorthogonalisation, from K + 2
//    fixed-key random vectors. One streaming pass a step does both products
//    (t = row . x, z += t row).
// 2. Ritz pairs of the projected matrix come with exact residuals (the
//    remainder block times the last rows of the eigenvectors): no pass needed.
// 3. Pairs of bf16 begin in float32, at a fraction of the cost. A random vector
//    that the start block does not know joins after the first step. Where the
//    head stands well apart a few steps bring it within float32's rounding, and
//    the last pass (6) is all that float64 has to do. Elsewhere what was found is
//    where the iteration in float64 starts, with another random vector.
// 4. When the leading pairs have converged in float64, random vectors that the
//    basis does not know are added and the same iteration goes on for a few
//    steps. What the start block missed appears as a Ritz pair that has not
//    converged, and the iteration continues until that one has.
// 5. Squares lose what is below 1e-7 of sigma_1. Where the head reaches there,
//    the vectors above are locked and the iteration starts again on their
//    complement.
// 6. One last pass in float64 with the K + 1 leading vectors gives W = delta V,
//    which one-sided Jacobi turns into sigma U without the squaring of the
//    condition number, and delta^T U, from which the residuals follow explicitly.
//    It is half a step more: sigma and V of the result are those of U^T delta.
//    What it does not find sharp goes back to point 4.
//
// H = U U^T delta, so <H, R> = 0 to rounding whenever U is orthonormal, converged
// or not. Matrices of at most 4096 elements go to one-sided Jacobi at once.
#include "common/linalg/top_k.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/checked.h"
#include "common/linalg/block_ops.h"
#include "common/linalg/convert.h"
#include "common/linalg/delta_operator.h"
#include "common/linalg/krylov.h"
#include "common/linalg/leading.h"
#include "common/linalg/small_dense.h"

namespace merganser {
namespace {

using linalg::ColumnSet;
using linalg::DeltaOperator;
using linalg::kGap;
using linalg::kHeadError;
using linalg::kLanes;
using linalg::KrylovBasis;
using linalg::KrylovLayout;
using linalg::Leading;
using linalg::PadLanes;
using linalg::PassLayout;

constexpr uint64_t kDenseElements = 4096;
constexpr double kAngleAccepted = 1e-6;
constexpr double kNegligible = 1e-7;  // of sigma_1: a direction that no accuracy bar can see
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Right singular vectors of a matrix small enough to hold, in `v` (columns of
// `stride`), sorted.
Leading SolveDense(const TaskVector& delta, const DeltaOperator& op, size_t k, double* v,
                   size_t stride) {
  const auto rows = static_cast<size_t>(delta.rows), cols = static_cast<size_t>(delta.cols);
  const bool tall = rows >= cols;
  const size_t count = std::min(rows, cols), length = PadLanes(std::max(rows, cols));
  const size_t side = PadLanes(cols);
  std::vector<double> columns(count * length), row(side);
  std::vector<double> turned(tall ? count * side : 0);
  for (size_t i = 0; i < rows; ++i) {
    linalg::LoadDelta(delta.base.Slice(i * cols, cols), delta.expert.Slice(i * cols, cols),
                      op.scale(), row.data());
    for (size_t j = 0; j < cols; ++j) columns[tall ? j * length + i : i * length + j] = row[j];
  }
  std::vector<ColumnSet> along;
  if (tall) {
    for (size_t i = 0; i < count; ++i) turned[i * side + i] = 1;
    along.push_back({turned.data(), side, side});
  }
  linalg::OneSidedJacobi({columns.data(), length, length}, along, count);
  std::vector<double> norm(count);
  for (size_t i = 0; i < count; ++i) {
    const double* x = columns.data() + i * length;
    norm[i] = std::sqrt(linalg::Dot(x, x, length));
  }
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return norm[a] > norm[b]; });
  Leading leading;
  leading.converged = true;
  leading.zero = norm[order[0]] == 0;
  leading.count = std::min(count, k + 1);
  leading.next_bound = count > k ? norm[order[k]] : 0;
  // Below the numerical rank a column has no direction.
  const double floor = norm[order[0]] * static_cast<double>(std::max(rows, cols)) *
                       std::numeric_limits<double>::epsilon();
  for (size_t j = 0; j < leading.count; ++j) {
    const size_t from = order[j];
    if (tall) {
      std::copy_n(turned.data() + from * side, side, v + j * stride);
    } else if (norm[from] > floor) {
      std::copy_n(columns.data() + from * length, length, v + j * stride);
      linalg::Scale(1 / norm[from], v + j * stride, side, v + j * stride);
    } else {
      std::fill_n(v + j * stride, side, 0.0);
    }
  }
  return leading;
}

// Removes what rounding left of orthonormality; a zero column stays zero.
void Reorthonormalise(double* v, size_t stride, size_t padded, size_t count) {
  for (size_t j = 0; j < count; ++j) {
    double* x = v + j * stride;
    for (size_t i = 0; i < 2 * j; ++i) {  // twice through
      const double* y = v + i % j * stride;
      linalg::AddScaled(-linalg::Dot(y, x, padded), y, padded, x);
    }
    const double norm = std::sqrt(linalg::Dot(x, x, padded));
    if (norm > 0) linalg::Scale(1 / norm, x, padded, x);
  }
}

// u's largest entry (the first of equals) positive.
void FixSign(double* u, size_t rows, double* v, size_t cols) {
  size_t largest = 0;
  for (size_t i = 1; i < rows; ++i) {
    if (std::abs(u[i]) > std::abs(u[largest])) largest = i;
  }
  if (!(u[largest] < 0)) return;
  for (size_t i = 0; i < rows; ++i) u[i] = -u[i];
  for (size_t i = 0; i < cols; ++i) v[i] = -v[i];
}

void SetEmpty(const TaskVector& delta, int k, Triplets& t) {
  t.k = k;
  t.rows = delta.rows;
  t.cols = delta.cols;
  t.sigma.assign(static_cast<size_t>(k), 0.0);
  t.u.assign(static_cast<size_t>(k) * static_cast<size_t>(delta.rows), 0.0);
  t.v.assign(static_cast<size_t>(k) * static_cast<size_t>(delta.cols), 0.0);
}

// Sorts the first `count` columns of all sets by the norms of those of the first,
// descending; the norms.
std::vector<double> SortColumns(std::span<const ColumnSet> sets, size_t count) {
  std::vector<double> norm(count);
  for (size_t j = 0; j < count; ++j) {
    const double* x = sets[0].data + j * sets[0].stride;
    norm[j] = std::sqrt(linalg::Dot(x, x, sets[0].length));
  }
  for (size_t j = 0; j < count; ++j) {
    const auto largest = std::max_element(norm.begin() + static_cast<ptrdiff_t>(j), norm.end());
    const auto from = static_cast<size_t>(largest - norm.begin());
    if (from == j) continue;
    std::swap(norm[j], norm[from]);
    for (const ColumnSet& set : sets) {
      double* x = set.data + j * set.stride;
      std::swap_ranges(x, x + set.length, set.data + from * set.stride);
    }
  }
  return norm;
}

// The last pass: triplets, explicit residuals, verdict. Leaves v sorted.
absl::Status Finish(const TaskVector& delta, int k_in, const Leading& leading, DeltaOperator& op,
                    double* v, TopKResult& result) {
  const auto k = static_cast<size_t>(k_in);
  const auto rows = static_cast<size_t>(delta.rows), cols = static_cast<size_t>(delta.cols);
  const size_t stride = op.layout().stride, padded = op.layout().padded;
  const size_t tall = PadLanes(rows), count = leading.count;
  Triplets& t = result.triplets;
  SetEmpty(delta, k_in, t);
  Reorthonormalise(v, stride, padded, count);
  std::vector<double> w(count * tall), z(count * stride), rest(padded);
  op.Apply(v, count, z.data(), w.data(), tall);
  const ColumnSet left{w.data(), tall, tall}, right{z.data(), stride, padded};
  const ColumnSet sets[] = {left, {v, stride, padded}, right};
  linalg::OneSidedJacobi(left, std::span(sets).subspan(1), count);
  const std::vector<double> norm = SortColumns(sets, count);

  const double first = norm[0];
  // The usual numerical rank: what is smaller is rounding of delta v itself.
  const double rank_floor =
      first * static_cast<double>(std::max(rows, cols)) * std::numeric_limits<double>::epsilon();
  size_t rank = 0;
  for (; rank < std::min(k, count) && norm[rank] > rank_floor; ++rank) {
    const double sigma = norm[rank];
    linalg::Scale(1 / sigma, &w[rank * tall], tall, &w[rank * tall]);
    double* image = &z[rank * stride];
    linalg::Scale(1 / sigma, image, padded, image);
    std::copy_n(image, padded, rest.data());
    linalg::AddScaled(-sigma, v + rank * stride, padded, rest.data());
    result.residual =
        std::max(result.residual, std::sqrt(linalg::Dot(rest.data(), rest.data(), padded)) / first);
  }
  // U^T delta, which U is better for than V was.
  const ColumnSet turned[] = {right, left};
  linalg::OneSidedJacobi(right, std::span(turned).subspan(1), rank);
  const std::vector<double> sigmas = SortColumns(turned, rank);
  for (size_t j = 0; j < rank; ++j) {
    linalg::Scale(1 / sigmas[j], &z[j * stride], padded, &z[j * stride]);
    FixSign(&w[j * tall], rows, &z[j * stride], cols);
    t.sigma[j] = sigmas[j] / op.scale();
    if (!std::isfinite(t.sigma[j])) {
      return absl::OutOfRangeError(absl::StrCat("singular value ", j + 1, " of the ", rows, " x ",
                                                cols, " task vector overflows float64"));
    }
    std::copy_n(&w[j * tall], rows, &t.u[j * rows]);
    std::copy_n(&z[j * stride], cols, &t.v[j * cols]);
  }
  const double last = rank > 0 ? sigmas[rank - 1] : 0;
  double next = rank == k && count > k ? norm[k] : 0;
  if (!(next > rank_floor)) next = 0;
  result.sigma_next = next / op.scale();
  // A rank below K has no gap to speak of: what follows the last direction is zero.
  result.gap_ratio = next == 0 ? kInfinity : last / next;
  const double bound = std::max(next, rank == k ? std::min(leading.next_bound, last) : 0.0);
  // U = delta V: what V had of the directions that follow is less in U by their
  // sigma over the head's.
  result.vector_error = result.residual == 0 ? 0
                        : last > bound ? result.residual * first / (last - bound) * (bound / last)
                                       : kInfinity;
  const bool sharp = result.vector_error <= kAngleAccepted ||
                     (result.vector_error <= linalg::kLargestAngle &&
                      result.vector_error * last <= linalg::kShareError * leading.norm) ||
                     result.vector_error * last <= 10 * kHeadError * first ||
                     last <= kNegligible * first || rank < k;
  if (!leading.converged || rank == 0) {  // rank 0: delta is not zero, yet nothing was found
    result.outcome = SolverOutcome::kNotConverged;
  } else if (result.gap_ratio < kGap) {
    result.outcome = SolverOutcome::kIllDefined;
  } else {
    result.outcome = sharp ? SolverOutcome::kConverged : SolverOutcome::kNotConverged;
  }
  return absl::OkStatus();
}

absl::Status CheckShape(const TaskVector& delta, const TopKOptions& options) {
  if (delta.rows < 1 || delta.cols < 1 || options.k < 1 ||
      options.k > std::min(delta.rows, delta.cols)) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot take ", options.k, " singular triplets of a ", delta.rows, " x ",
                     delta.cols, " matrix: the count must be from 1 to the smaller side"));
  }
  const auto elements =
      CheckedMul(static_cast<uint64_t>(delta.rows), static_cast<uint64_t>(delta.cols));
  if (!elements || delta.base.size != *elements || delta.expert.size != *elements) {
    return absl::InvalidArgumentError(
        absl::StrCat("a ", delta.rows, " x ", delta.cols, " task vector over ", delta.base.size,
                     " elements of the base and ", delta.expert.size, " of the expert"));
  }
  if (!IsComputable(delta.base.dtype) || !IsComputable(delta.expert.dtype)) {
    return absl::InvalidArgumentError("a task vector needs F64, F32, F16 or BF16 elements");
  }
  return absl::OkStatus();
}

bool IsDense(int64_t rows, int64_t cols) {
  return static_cast<uint64_t>(rows) * static_cast<uint64_t>(cols) <= kDenseElements;
}

}  // namespace

absl::StatusOr<TopKResult> ComputeTopK(const TaskVector& delta, const TopKOptions& options,
                                       Executor& executor) {
  if (absl::Status status = CheckShape(delta, options); !status.ok()) return status;
  const auto k = static_cast<size_t>(options.k);
  const KrylovLayout layout(delta.rows, delta.cols, options.k);
  DeltaOperator op(delta, layout.max_block, executor);
  TopKResult result;
  Leading leading;
  absl::Status status;
  // A search that was cancelled may have found nothing to finish.
  const auto finish = [&](double* v) {
    result.residual = 0;
    if (leading.zero) {
      SetEmpty(delta, options.k, result.triplets);
      result.outcome = SolverOutcome::kZero;
      result.gap_ratio = kInfinity;
    } else if (executor.cancelled() || leading.count == 0) {
      SetEmpty(delta, options.k, result.triplets);
      result.outcome = SolverOutcome::kNotConverged;
    } else {
      status = Finish(delta, options.k, leading, op, v, result);
    }
  };
  if (IsDense(delta.rows, delta.cols)) {
    const size_t stride = op.layout().stride;
    std::vector<double> v((k + 1) * stride);
    leading = SolveDense(delta, op, k, v.data(), stride);
    finish(v.data());
    result.passes = 1;
  } else {
    KrylovBasis basis(op, layout, executor);
    bool done = linalg::FindInFloat32(op, basis, layout, options, leading);
    if (done) {
      finish(basis.vectors());
      const std::vector<double>& sigma = result.triplets.sigma;
      done = !status.ok() || result.outcome == SolverOutcome::kConverged ||
             (result.outcome == SolverOutcome::kIllDefined &&
              result.residual * sigma[0] <= linalg::kValueError * sigma[k - 1]);
      if (!done) basis.StartFrom(leading.count);
    }
    if (!done) {
      linalg::FindLeading(op, basis, layout, options, leading);
      finish(basis.vectors());
    }
  }
  if (executor.cancelled()) return absl::CancelledError("the result is not wanted any more");
  if (!status.ok()) return status;
  result.steps = leading.steps;
  result.passes += op.passes();
  return result;
}

uint64_t TopKWorkspaceBytes(int64_t rows, int64_t cols, int k) {
  const KrylovLayout layout(rows, cols, k);
  const PassLayout pass(rows, cols, layout.max_block);
  const uint64_t count = static_cast<uint64_t>(k) + 1;
  const uint64_t result = count * (static_cast<uint64_t>(rows) + static_cast<uint64_t>(cols));
  // The last pass (W and Z), the triplets, and small change: tasks, vectors of
  // a few entries, what the allocator adds.
  const uint64_t finish =
      count * (PadLanes(static_cast<size_t>(rows)) + pass.stride) + pass.stride + result;
  const uint64_t dense = IsDense(rows, cols) ? 4 * kDenseElements * kLanes : 0;
  return pass.Bytes(layout.max_block) + KrylovBasis::Bytes(layout, pass) +
         (finish + dense) * sizeof(double) + (uint64_t{256} << 10);
}

}  // namespace merganser
