#include "common/linalg/small_dense.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "common/linalg/block_ops.h"

namespace merganser::linalg {
namespace {

// c * x - s * y and s * x + c * y, element by element.
void Rotate(double c, double s, size_t n, double* x, double* y) {
  for (size_t i = 0; i < n; ++i) {
    const double xi = x[i], yi = y[i];
    x[i] = c * xi - s * yi;
    y[i] = s * xi + c * yi;
  }
}

// Reduces `a` (n x n, full storage, destroyed) to tridiagonal form: diagonal d,
// subdiagonal e[i] between i and i + 1. `y` holds `rows` rows of the
// accumulated orthogonal matrix, column by column.
void Tridiagonalise(std::vector<double>& a, size_t n, std::vector<double>& d,
                    std::vector<double>& e, std::vector<double>& y, size_t rows) {
  std::vector<double> w(n), s(rows);
  for (size_t k = 0; k + 1 < n; ++k) {
    d[k] = a[k * n + k];
    double* v = &a[k * n + k + 1];  // by symmetry the column below the diagonal
    const size_t m = n - k - 1;
    double tail = 0;
    for (size_t i = 1; i < m; ++i) tail += v[i] * v[i];
    if (tail == 0) {
      e[k] = v[0];
      continue;
    }
    const double alpha = -std::copysign(std::sqrt(v[0] * v[0] + tail), v[0]);
    v[0] -= alpha;
    e[k] = alpha;
    const double beta = 2 / (v[0] * v[0] + tail);
    // a <- (I - beta v v^T) a (I - beta v v^T) as a rank-2 update.
    std::fill_n(w.begin(), m, 0.0);
    for (size_t j = 0; j < m; ++j) {
      const double vj = beta * v[j];
      const double* row = &a[(k + 1 + j) * n + k + 1];
      for (size_t i = 0; i < m; ++i) w[i] += vj * row[i];
    }
    double vw = 0;
    for (size_t i = 0; i < m; ++i) vw += v[i] * w[i];
    const double shift = 0.5 * beta * vw;
    for (size_t i = 0; i < m; ++i) w[i] -= shift * v[i];
    for (size_t j = 0; j < m; ++j) {
      const double vj = v[j], wj = w[j];
      double* row = &a[(k + 1 + j) * n + k + 1];
      for (size_t i = 0; i < m; ++i) row[i] -= vj * w[i] + wj * v[i];
    }
    std::fill(s.begin(), s.end(), 0.0);
    for (size_t j = 0; j < m; ++j) {
      const double* col = &y[(k + 1 + j) * rows];
      for (size_t r = 0; r < rows; ++r) s[r] += v[j] * col[r];
    }
    for (size_t j = 0; j < m; ++j) {
      const double vj = beta * v[j];
      double* col = &y[(k + 1 + j) * rows];
      for (size_t r = 0; r < rows; ++r) col[r] -= vj * s[r];
    }
  }
  d[n - 1] = a[(n - 1) * n + n - 1];
  e[n - 1] = 0;
}

// Diagonalises the tridiagonal (d, e) by implicit QL steps with Wilkinson's
// shift, rotating the columns of `y` along.
void DiagonaliseTridiagonal(std::vector<double>& d, std::vector<double>& e, std::vector<double>& y,
                            size_t rows) {
  const size_t n = d.size();
  double norm = 0;
  for (size_t i = 0; i < n; ++i) norm = std::max(norm, std::abs(d[i]) + std::abs(e[i]));
  const auto negligible = [&](size_t i) {
    const double size = std::abs(e[i]);
    return size <= 0x1p-53 * (std::abs(d[i]) + std::abs(d[i + 1])) || size <= 0x1p-56 * norm;
  };
  for (size_t first = 0; first < n; ++first) {
    for (int step = 0; step < 200; ++step) {
      size_t last = first;
      while (last + 1 < n && !negligible(last)) ++last;
      if (last == first) break;
      const double half = (d[first + 1] - d[first]) / (2 * e[first]);
      const double root = std::sqrt(half * half + 1);
      double g = d[last] - d[first] + e[first] / (half + std::copysign(root, half));
      double c = 1, s = 1, moved = 0;
      bool split = false;
      for (size_t i = last; i-- > first;) {
        const double f = s * e[i], b = c * e[i];
        const double r = std::sqrt(f * f + g * g);
        e[i + 1] = r;
        if (r == 0) {  // the chase met an exact zero: the matrix splits here
          d[i + 1] -= moved;
          e[last] = 0;
          split = true;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - moved;
        const double t = (d[i] - g) * s + 2 * c * b;
        moved = s * t;
        d[i + 1] = g + moved;
        g = c * t - b;
        Rotate(c, s, rows, &y[i * rows], &y[(i + 1) * rows]);
      }
      if (split) continue;
      d[first] -= moved;
      e[first] = g;
      e[last] = 0;
    }
  }
}

}  // namespace

SymmetricEigen EigenDecompose(const double* matrix, size_t stride, size_t n, size_t first_row) {
  SymmetricEigen result;
  result.rows = n - first_row;
  if (n == 0) return result;
  std::vector<double> a(n * n), d(n), e(n), y(n * result.rows);
  for (size_t i = 0; i < n; ++i) std::copy_n(matrix + i * stride, n, &a[i * n]);
  for (size_t r = 0; r < result.rows; ++r) y[(first_row + r) * result.rows + r] = 1;
  Tridiagonalise(a, n, d, e, y, result.rows);
  DiagonaliseTridiagonal(d, e, y, result.rows);

  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) { return d[i] > d[j]; });
  result.values.resize(n);
  result.vectors.resize(n * result.rows);
  for (size_t i = 0; i < n; ++i) {
    result.values[i] = d[order[i]];
    std::copy_n(&y[order[i] * result.rows], result.rows, &result.vectors[i * result.rows]);
  }
  return result;
}

// Matrix copy, two sets of vectors, and a few vectors.
size_t EigenBytes(size_t n) { return (3 * n * n + 12 * n) * sizeof(double); }

void OneSidedJacobi(const ColumnSet& target, std::span<const ColumnSet> along, size_t count) {
  constexpr int kMaxSweeps = 60;
  constexpr double kOrthogonal = 0x1p-51;
  for (int sweep = 0; sweep < kMaxSweeps; ++sweep) {
    bool rotated = false;
    for (size_t i = 0; i + 1 < count; ++i) {
      for (size_t j = i + 1; j < count; ++j) {
        double* x = target.data + i * target.stride;
        double* y = target.data + j * target.stride;
        const double xx = Dot(x, x, target.length), yy = Dot(y, y, target.length);
        const double xy = Dot(x, y, target.length);
        if (!(std::abs(xy) > kOrthogonal * (std::sqrt(xx) * std::sqrt(yy)))) continue;
        const double zeta = (yy - xx) / (2 * xy);
        const double t = std::copysign(1.0, zeta) / (std::abs(zeta) + std::sqrt(1 + zeta * zeta));
        if (t == 0) continue;
        const double c = 1 / std::sqrt(1 + t * t), s = c * t;
        rotated = true;
        Rotate(c, s, target.length, x, y);
        for (const ColumnSet& set : along) {
          Rotate(c, s, set.length, set.data + i * set.stride, set.data + j * set.stride);
        }
      }
    }
    if (!rotated) return;
  }
}

}  // namespace merganser::linalg
