// The properties that define a leading split, checked against a dense delta.
#ifndef MERGANSER_TESTS_COMMON_LINALG_TOP_K_CHECKS_H_
#define MERGANSER_TESTS_COMMON_LINALG_TOP_K_CHECKS_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/base/executor.h"
#include "common/linalg/top_k.h"
#include "tests/common/linalg/linalg_testing.h"
#include "tests/common/linalg/reference_svd.h"

namespace merganser {

inline double Norm(const std::vector<double>& x) {
  double largest = 0, sum = 0;
  for (const double e : x) largest = std::max(largest, std::abs(e));
  if (largest == 0) return 0;
  for (const double e : x) sum += (e / largest) * (e / largest);
  return largest * std::sqrt(sum);
}

// Residuals at most `residual` * sigma_1, sigma within `sigma_error` (relative)
// of a dense SVD, orthonormal vectors, normalised signs, <H, R> = 0.
inline void CheckTriplets(const Problem& problem, const TopKResult& result, double residual,
                          double sigma_error) {
  const Triplets& t = result.triplets;
  const auto m = static_cast<size_t>(problem.rows), n = static_cast<size_t>(problem.cols);
  const auto k = static_cast<size_t>(t.k);
  const std::vector<double> a = problem.Dense();
  const std::vector<double> want = ReferenceSingularValues(a, problem.rows, problem.cols);
  const double first = want[0];
  ASSERT_EQ(t.sigma.size(), k);
  ASSERT_EQ(t.u.size(), k * m);
  ASSERT_EQ(t.v.size(), k * n);
  std::vector<double> h(m * n);
  for (size_t i = 0; i < k; ++i) {
    const double sigma = t.sigma[i];
    const double* u = &t.u[i * m];
    const double* v = &t.v[i * n];
    if (sigma == 0) {
      EXPECT_LE(want[i], 1e-6 * first) << "triplet " << i << " was taken for zero";
      EXPECT_TRUE(std::all_of(u, u + m, [](double x) { return x == 0; }));
      EXPECT_TRUE(std::all_of(v, v + n, [](double x) { return x == 0; }));
      continue;
    }
    if (i > 0) {
      EXPECT_LE(sigma, t.sigma[i - 1]);
    }
    EXPECT_NEAR(sigma / want[i], 1, sigma_error) << "sigma " << i;
    std::vector<double> left(m), right(n);
    for (size_t r = 0; r < m; ++r) {
      for (size_t c = 0; c < n; ++c) {
        left[r] += a[r * n + c] * v[c];
        right[c] += a[r * n + c] * u[r];
        h[r * n + c] += sigma * u[r] * v[c];
      }
    }
    for (size_t r = 0; r < m; ++r) left[r] -= sigma * u[r];
    for (size_t c = 0; c < n; ++c) right[c] -= sigma * v[c];
    EXPECT_LE(Norm(right), 1e-13 * std::sqrt(static_cast<double>(m + n)) * first);
    EXPECT_LE(Norm(left), residual * first);
    EXPECT_LE(Norm(left), (result.residual * 1.01 + 1e-13) * first) << "reported too small";
    for (size_t j = 0; j <= i; ++j) {
      if (t.sigma[j] == 0) continue;
      double uu = 0, vv = 0;
      for (size_t r = 0; r < m; ++r) uu += u[r] * t.u[j * m + r];
      for (size_t c = 0; c < n; ++c) vv += v[c] * t.v[j * n + c];
      EXPECT_NEAR(uu, i == j, 1e-10);
      EXPECT_NEAR(vv, i == j, 1e-10);
    }
    const auto largest =
        std::max_element(u, u + m, [](double x, double y) { return std::abs(x) < std::abs(y); });
    EXPECT_GT(*largest, 0);
  }
  double inner = 0;
  for (size_t e = 0; e < m * n; ++e) inner += (h[e] / first) * ((a[e] - h[e]) / first);
  EXPECT_NEAR(inner, 0, 1e-12 * std::sqrt(static_cast<double>(m * n)));
}

inline TopKResult Solve(const Problem& problem, int k, uint64_t seed = 0) {
  ThreadPool pool(1);
  auto result = ComputeTopK(problem.Delta(), {.k = k, .seed = seed}, pool);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *std::move(result) : TopKResult{};
}

}  // namespace merganser

#endif  // MERGANSER_TESTS_COMMON_LINALG_TOP_K_CHECKS_H_
