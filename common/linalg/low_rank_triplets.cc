#include "common/linalg/low_rank_triplets.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/linalg/leading.h"
#include "common/linalg/product_svd.h"

namespace merganser {
namespace {

// The power of two above all of |x|, as frexp has it; nullopt where all are zero.
std::optional<int> ExponentOf(const double* x, size_t n) {
  double largest = 0;
  for (size_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(x[i]));
  if (largest == 0) return std::nullopt;
  int exponent = 0;
  std::frexp(largest, &exponent);
  return exponent;
}

// The factors, less a power of two: entries of the columns, and of the leading rows, are about 1,
// so that no square overflows, and none that counts is lost below the normal numbers.
struct ScaledFactors {
  explicit ScaledFactors(const FactoredDelta& delta)
      : rows(static_cast<size_t>(delta.height), delta.rank()),
        columns(static_cast<size_t>(delta.width), delta.rank()) {
    struct Term {
      double scale = 0;  // its magnitude from 0.5 to 1; or zero
      int rows = 0, columns = 0, all = 0;
    };
    std::vector<Term> terms(delta.rank());
    std::optional<int> largest;
    for (size_t k = 0; k < terms.size(); ++k) {
      const std::optional<int> of_rows = ExponentOf(&delta.rows[k * rows.length()], rows.length());
      const std::optional<int> of_columns =
          ExponentOf(&delta.columns[k * columns.length()], columns.length());
      if (delta.scales[k] == 0 || !of_rows.has_value() || !of_columns.has_value()) continue;
      Term& term = terms[k];
      int of_scale = 0;
      term.scale = std::frexp(delta.scales[k], &of_scale);
      term.rows = *of_rows;
      term.columns = *of_columns;
      term.all = *of_rows + *of_columns + of_scale;
      largest = std::max(term.all, largest.value_or(term.all));
    }
    exponent = largest.value_or(0);
    for (size_t k = 0; k < terms.size(); ++k) {
      const Term& term = terms[k];
      if (term.scale == 0) continue;
      const double* from = &delta.rows[k * rows.length()];
      for (size_t i = 0; i < rows.length(); ++i) {
        rows.column(k)[i] =
            std::ldexp(std::ldexp(from[i], -term.rows) * term.scale, term.all - exponent);
      }
      from = &delta.columns[k * columns.length()];
      for (size_t i = 0; i < columns.length(); ++i) {
        columns.column(k)[i] = std::ldexp(from[i], -term.columns);
      }
    }
  }

  FactorColumns rows, columns;
  int exponent = 0;
};

TopKResult NoTriplets(const FactoredDelta& delta, int k) {
  TopKResult result;
  Triplets& t = result.triplets;
  t.k = k;
  t.rows = delta.height;
  t.cols = delta.width;
  t.sigma.assign(static_cast<size_t>(k), 0.0);
  t.u.assign(static_cast<size_t>(k) * static_cast<size_t>(delta.height), 0.0);
  t.v.assign(static_cast<size_t>(k) * static_cast<size_t>(delta.width), 0.0);
  result.outcome = SolverOutcome::kZero;
  result.gap_ratio = std::numeric_limits<double>::infinity();
  return result;
}

absl::Status CheckFactors(const FactoredDelta& delta, int k) {
  if (delta.height < 1 || delta.width < 1 || k < 1 || k > std::min(delta.height, delta.width)) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot take ", k, " singular triplets of a ", delta.height, " x ",
                     delta.width, " matrix: the count must be from 1 to the smaller side"));
  }
  if (delta.rows.size() == delta.rank() * static_cast<size_t>(delta.height) &&
      delta.columns.size() == delta.rank() * static_cast<size_t>(delta.width)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "a ", delta.height, " x ", delta.width, " product of rank ", delta.rank(),
      " over factors of ", delta.rows.size(), " and ", delta.columns.size(), " entries"));
}

}  // namespace

absl::StatusOr<TopKResult> LowRankTopK(const FactoredDelta& delta, int k, Executor& executor) {
  if (absl::Status status = CheckFactors(delta, k); !status.ok()) return status;
  TopKResult result = NoTriplets(delta, k);
  if (delta.rank() == 0) return result;
  ScaledFactors factors(delta);
  const auto wanted = static_cast<size_t>(k);
  MERGANSER_ASSIGN_OR_RETURN(
      const ProductSvd svd,
      DecomposeProduct(std::move(factors.rows), std::move(factors.columns), executor, wanted + 1));
  const std::vector<double>& norm = svd.triplets.sigma;
  if (norm.empty()) return result;
  // The usual numerical rank: below it a direction is that of rounding.
  const double floor = norm[0] * static_cast<double>(std::max(delta.height, delta.width)) *
                       std::numeric_limits<double>::epsilon();
  const auto height = static_cast<size_t>(delta.height), width = static_cast<size_t>(delta.width);
  size_t found = 0;
  for (; found < std::min(wanted, norm.size()) && norm[found] > floor; ++found) {
    const double sigma = std::ldexp(norm[found], factors.exponent);
    if (!std::isfinite(sigma)) {
      return absl::OutOfRangeError(absl::StrCat("singular value ", found + 1, " of the ",
                                                delta.height, " x ", delta.width,
                                                " task vector overflows float64"));
    }
    if (sigma == 0) break;  // below float64's least number
    Triplets& t = result.triplets;
    t.sigma[found] = sigma;
    std::copy_n(&svd.triplets.u[found * height], height, &t.u[found * height]);
    std::copy_n(&svd.triplets.v[found * width], width, &t.v[found * width]);
  }
  if (found == 0) return result;
  const bool more = found == wanted && norm.size() > wanted && norm[wanted] > floor;
  if (more) {
    result.sigma_next = std::ldexp(norm[wanted], factors.exponent);
    result.gap_ratio = norm[wanted - 1] / norm[wanted];
  }
  result.outcome =
      result.gap_ratio < linalg::kGap ? SolverOutcome::kIllDefined : SolverOutcome::kConverged;
  return result;
}

uint64_t LowRankTopKBytes(uint64_t height, uint64_t width, uint64_t rank) {
  // Beside the decomposition small change: vectors of a few entries.
  return ProductSvdBytes(height, width, rank) + 8 * rank * sizeof(double) + (uint64_t{16} << 10);
}

}  // namespace merganser
