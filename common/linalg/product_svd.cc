// Scalar code calls the dispatched primitives alone, and sums have one order: the same bits
// everywhere.
#include "common/linalg/product_svd.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/linalg/block_ops.h"
#include "common/linalg/small_dense.h"

namespace merganser {
namespace {

using linalg::Dot;
using linalg::kLanes;
using linalg::PadLanes;

// A value below this part of sum_k |left_k| |right_k| is rounding.
constexpr double kNoise = 0x1p-48;
// What is left of a column counts as zero below this: the square of less is not a number that could
// be divided by.
constexpr double kNothing = 0x1p-500;
// Doubles that a block of columns has, about.
constexpr size_t kBlock = size_t{1} << 16;

// The triangle that reflections leave of columns, `rows` of min(length, count).
struct Triangle {
  explicit Triangle(const FactorColumns& columns)
      : rows(std::min(columns.length(), columns.count())),
        stride(PadLanes(columns.count())),
        values(rows * stride),
        betas(rows) {}
  double* row(size_t i) { return values.data() + i * stride; }
  const double* row(size_t i) const { return values.data() + i * stride; }

  size_t rows, stride;
  std::vector<double> values;
  std::vector<double> betas;  // reflection j is I - betas[j] v v^T, v in column j
};

// y -= beta (v . y) v from entry `from` on, which is where v begins.
void ReflectOne(const double* v, double beta, size_t from, size_t stride, double* y) {
  const size_t begin = from / kLanes * kLanes;
  const double dot = Dot(v + begin, y + begin, stride - begin);
  linalg::AddScaled(-beta * dot, v + begin, stride - begin, y + begin);
}

// Calls `visit(i)` for [0, count), some columns at a time.
template <typename Visit>
void ForColumns(size_t count, size_t stride, Executor& executor, Visit visit) {
  const size_t block = std::max<size_t>(1, kBlock / stride);
  executor.ParallelFor((count + block - 1) / block, [&](size_t b) {
    for (size_t i = b * block; i < std::min(count, (b + 1) * block); ++i) visit(i);
  });
}

absl::Status Overflow() {
  return absl::OutOfRangeError(
      "the product of its factors overflows float64: the adapters are damaged or their training "
      "diverged");
}

// Leaves the reflections' vectors in the columns.
absl::StatusOr<Triangle> Reflect(FactorColumns& columns, Executor& executor) {
  Triangle triangle(columns);
  const size_t stride = columns.stride();
  for (size_t j = 0; j < triangle.rows; ++j) {
    if (executor.cancelled()) return absl::CancelledError("interrupted");
    double* const v = columns.column(j);
    std::fill_n(v, j, 0.0);  // they stand in the triangle
    const double norm = std::sqrt(Dot(v, v, stride));
    if (!std::isfinite(norm)) return Overflow();
    const bool reflects = norm > kNothing;
    if (reflects) {
      const double head = v[j];
      const double image = head > 0 ? -norm : norm;
      v[j] = head - image;
      triangle.betas[j] = 1 / (norm * (norm + std::abs(head)));
      triangle.row(j)[j] = image;
    }
    ForColumns(columns.count() - j - 1, stride, executor, [&](size_t i) {
      double* const y = columns.column(j + 1 + i);
      if (reflects) ReflectOne(v, triangle.betas[j], j, stride, y);
      triangle.row(j)[j + 1 + i] = y[j];
    });
  }
  return triangle;
}

// Columns i of `columns` are turned back, out of the triangle's space.
void Unreflect(const FactorColumns& reflections, const Triangle& triangle, FactorColumns& columns,
               Executor& executor) {
  ForColumns(columns.count(), columns.stride(), executor, [&](size_t i) {
    for (size_t j = triangle.rows; j-- > 0;) {
      if (triangle.betas[j] == 0) continue;
      ReflectOne(reflections.column(j), triangle.betas[j], j, columns.stride(), columns.column(i));
    }
  });
}

// Rows of one triangle times rows of the other, as columns of the first's rows: entry (i, j) at
// j * stride + i.
struct Core {
  Core(const Triangle& of_rows, const Triangle& of_columns)
      : rows(of_rows.rows),
        columns(of_columns.rows),
        stride(PadLanes(rows)),
        values(columns * stride) {
    for (size_t j = 0; j < columns; ++j) {
      for (size_t i = 0; i < rows; ++i) {
        values[j * stride + i] = Dot(of_rows.row(i), of_columns.row(j), of_rows.stride);
      }
    }
  }
  size_t rows, columns, stride;
  std::vector<double> values;
};

// Of a matrix with no fewer rows than columns: `values` become left vectors times sigma, `right`
// the right ones.
struct CoreSvd {
  explicit CoreSvd(Core from)
      : core(std::move(from)), stride(PadLanes(core.columns)), right(core.columns * stride) {
    for (size_t j = 0; j < core.columns; ++j) right[j * stride + j] = 1;
    const linalg::ColumnSet along{right.data(), stride, stride};
    linalg::OneSidedJacobi({core.values.data(), core.stride, core.stride}, {&along, 1},
                           core.columns);
    sigma.reserve(core.columns);
    for (size_t j = 0; j < core.columns; ++j) {
      const double* const column = core.values.data() + j * core.stride;
      sigma.push_back(std::sqrt(Dot(column, column, core.stride)));
    }
    order.resize(core.columns);
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [this](size_t a, size_t b) { return sigma[a] > sigma[b]; });
  }
  Core core;
  size_t stride;
  std::vector<double> right;
  std::vector<double> sigma;
  std::vector<size_t> order;
};

double Largest(const double* column, size_t length) {
  double largest = 0;
  for (size_t i = 0; i < length; ++i) {
    if (std::abs(column[i]) > std::abs(largest)) largest = column[i];
  }
  return largest;
}

// Columns one behind the other, without what is beyond their length.
std::vector<double> Packed(const FactorColumns& columns) {
  std::vector<double> packed(columns.count() * columns.length());
  for (size_t i = 0; i < columns.count(); ++i) {
    std::copy_n(columns.column(i), columns.length(), packed.data() + i * columns.length());
  }
  return packed;
}

}  // namespace

FactorColumns::FactorColumns(size_t length, size_t count)
    : length_(length), count_(count), stride_(PadLanes(length)), data_(count * stride_) {
  std::fill_n(data_.data(), count * stride_, 0.0);
}

absl::StatusOr<ProductSvd> DecomposeProduct(FactorColumns left, FactorColumns right,
                                            Executor& executor, size_t most) {
  double scale = 0;
  for (size_t k = 0; k < left.count(); ++k) {
    scale += std::sqrt(Dot(left.column(k), left.column(k), left.stride())) *
             std::sqrt(Dot(right.column(k), right.column(k), right.stride()));
  }
  if (!std::isfinite(scale) || !std::isfinite(scale * scale)) return Overflow();
  MERGANSER_ASSIGN_OR_RETURN(const Triangle rows, Reflect(left, executor));
  MERGANSER_ASSIGN_OR_RETURN(const Triangle cols, Reflect(right, executor));
  const bool turned = rows.rows < cols.rows;
  const CoreSvd svd(turned ? Core(cols, rows) : Core(rows, cols));
  if (executor.cancelled()) return absl::CancelledError("interrupted");

  ProductSvd out;
  Triplets& triplets = out.triplets;
  triplets.rows = static_cast<int64_t>(left.length());
  triplets.cols = static_cast<int64_t>(right.length());
  for (const size_t j : svd.order) {
    if (!(svd.sigma[j] > kNoise * scale)) break;
    if (triplets.sigma.size() < most) triplets.sigma.push_back(svd.sigma[j]);
    out.squares += svd.sigma[j] * svd.sigma[j];
  }
  const size_t count = triplets.sigma.size();
  triplets.k = static_cast<int>(count);
  FactorColumns u(left.length(), count), v(right.length(), count);
  for (size_t k = 0; k < count; ++k) {
    const size_t j = svd.order[k];
    double* const scaled = (turned ? v : u).column(k);
    for (size_t i = 0; i < svd.core.rows; ++i) {
      scaled[i] = svd.core.values[j * svd.core.stride + i] / svd.sigma[j];
    }
    std::copy_n(svd.right.data() + j * svd.stride, svd.core.columns, (turned ? u : v).column(k));
  }
  Unreflect(left, rows, u, executor);
  Unreflect(right, cols, v, executor);
  for (size_t k = 0; k < count; ++k) {
    if (Largest(u.column(k), u.length()) >= 0) continue;
    linalg::Scale(-1, u.column(k), u.length(), u.column(k));
    linalg::Scale(-1, v.column(k), v.length(), v.column(k));
  }
  triplets.u = Packed(u);
  triplets.v = Packed(v);
  return out;
}

absl::StatusOr<double> ProductSquares(FactorColumns left, FactorColumns right, Executor& executor) {
  MERGANSER_ASSIGN_OR_RETURN(const Triangle rows, Reflect(left, executor));
  MERGANSER_ASSIGN_OR_RETURN(const Triangle cols, Reflect(right, executor));
  const Core core(rows, cols);
  double squares = 0;
  for (size_t j = 0; j < core.columns; ++j) {
    const double* const column = core.values.data() + j * core.stride;
    squares += Dot(column, column, core.stride);
  }
  return squares;
}

uint64_t ProductSvdBytes(uint64_t rows, uint64_t cols, uint64_t count) {
  const uint64_t sides = PadLanes(rows) + PadLanes(cols);
  const uint64_t kept = std::min({rows, cols, count});
  const uint64_t small = PadLanes(std::min(count, std::max(rows, cols))) * PadLanes(count);
  return (sides * count + 2 * sides * kept + 6 * small + 64) * sizeof(double);
}

}  // namespace merganser
