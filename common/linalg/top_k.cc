// How the leading triplets are found, and what vouches for them.
//
// 1. Block Lanczos on delta^T delta, full reorthogonalisation, from K + 2
//    fixed-key random vectors. One streaming pass a step does both products
//    (t = row . x, z += t row). Pairs of bf16 begin with a few steps in float32,
//    at half the cost; what they find is where the iteration in float64 starts,
//    together with the random vectors of point 3.
// 2. Ritz pairs of the projected matrix come with exact residuals (the
//    remainder block times the last rows of the eigenvectors): no pass needed.
// 3. When the leading pairs have converged, random vectors that the basis does
//    not know are added and the same iteration goes on for a few steps. What
//    the start block missed appears as a Ritz pair that has not converged, and
//    the iteration continues until that one has.
// 4. Squares lose what is below 1e-7 of sigma_1. Where the head reaches there,
//    the vectors above are locked and the iteration starts again on their
//    complement.
// 5. One last pass with the K + 1 leading vectors gives W = delta V, from which
//    sigma and u follow by one-sided Jacobi without the squaring of the
//    condition number, and delta^T W, from which the residuals follow explicitly.
//
// H = W V^T, so <H, R> = 0 to rounding whenever V is orthonormal, converged or
// not. Matrices of at most 4096 elements go to one-sided Jacobi at once.
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

// The last pass: triplets, explicit residuals, verdict.
absl::Status Finish(const TaskVector& delta, int k_in, const Leading& leading, DeltaOperator& op,
                    double* v, TopKResult& result) {
  const auto k = static_cast<size_t>(k_in);
  const auto rows = static_cast<size_t>(delta.rows), cols = static_cast<size_t>(delta.cols);
  const size_t stride = op.layout().stride, padded = op.layout().padded;
  const size_t tall = PadLanes(rows), found = std::min(k, leading.count);
  Triplets& t = result.triplets;
  SetEmpty(delta, k_in, t);
  Reorthonormalise(v, stride, padded, leading.count);
  std::vector<double> w(leading.count * tall), z(leading.count * stride);
  op.Apply(v, leading.count, z.data(), w.data(), tall);
  const ColumnSet along[] = {{v, stride, padded}, {z.data(), stride, padded}};
  linalg::OneSidedJacobi({w.data(), tall, tall}, along, found);

  std::vector<double> norm(leading.count);
  for (size_t j = 0; j < leading.count; ++j) {
    norm[j] = std::sqrt(linalg::Dot(&w[j * tall], &w[j * tall], tall));
  }
  std::vector<size_t> order(found);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return norm[a] > norm[b]; });
  const double first = norm[order[0]];
  // The usual numerical rank: what is smaller is rounding of delta v itself.
  const double rank_floor =
      first * static_cast<double>(std::max(rows, cols)) * std::numeric_limits<double>::epsilon();
  double last = 0;
  size_t rank = 0;
  for (size_t j = 0; j < found; ++j) {
    const size_t from = order[j];
    const double sigma = norm[from];
    if (!(sigma > rank_floor)) break;
    ++rank;
    last = sigma;
    double* image = &z[from * stride];
    linalg::Scale(1 / sigma, image, padded, image);
    linalg::AddScaled(-sigma, v + from * stride, padded, image);
    const double right = std::sqrt(linalg::Dot(image, image, padded));
    result.residual = std::max(result.residual, right / first);
    linalg::Scale(1 / sigma, &w[from * tall], tall, &w[from * tall]);
    FixSign(&w[from * tall], rows, v + from * stride, cols);
    t.sigma[j] = sigma / op.scale();
    if (!std::isfinite(t.sigma[j])) {
      return absl::OutOfRangeError(absl::StrCat("singular value ", j + 1, " of the ", rows, " x ",
                                                cols, " task vector overflows float64"));
    }
    std::copy_n(&w[from * tall], rows, &t.u[j * rows]);
    std::copy_n(v + from * stride, cols, &t.v[j * cols]);
  }
  double next = rank == k && leading.count > k ? norm[k] : 0;
  if (!(next > rank_floor)) next = 0;
  result.sigma_next = next / op.scale();
  // A rank below K has no gap to speak of: what follows the last direction is zero.
  result.gap_ratio = next == 0 ? kInfinity : last / next;
  const double gap = last - std::max(next, rank == k ? std::min(leading.next_bound, last) : 0.0);
  result.vector_error = result.residual == 0 ? 0
                        : gap > 0            ? result.residual * first / gap
                                             : kInfinity;
  const bool sharp = result.vector_error <= kAngleAccepted ||
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
  const auto finish = [&](double* v) {
    if (leading.zero) {
      SetEmpty(delta, options.k, result.triplets);
      result.outcome = SolverOutcome::kZero;
      result.gap_ratio = kInfinity;
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
    leading = linalg::FindLeading(op, basis, layout, options);
    finish(basis.vectors());
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
  const uint64_t finish = count * (PadLanes(static_cast<size_t>(rows)) + pass.stride) + result;
  const uint64_t dense = IsDense(rows, cols) ? 4 * kDenseElements * kLanes : 0;
  return pass.Bytes(layout.max_block) + KrylovBasis::Bytes(layout, pass) +
         (finish + dense) * sizeof(double) + (uint64_t{256} << 10);
}

}  // namespace merganser
