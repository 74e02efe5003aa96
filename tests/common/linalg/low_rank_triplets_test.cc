// Triplets from factors against dense decompositions of what the factors make, and against the
// solver that passes over the matrix.
#include "common/linalg/low_rank_triplets.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/linalg/kernels.h"
#include "tests/common/linalg/top_k_checks.h"

namespace merganser {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

FactoredDelta RandomFactors(uint64_t seed, int64_t m, int64_t n, size_t rank) {
  FactoredDelta delta;
  delta.height = m;
  delta.width = n;
  for (size_t k = 0; k < rank; ++k) delta.scales.push_back(k % 3 == 1 ? -0.75 : 2.0);
  delta.rows = RandomValues(seed, rank * static_cast<size_t>(m));
  delta.columns = RandomValues(seed + 1, rank * static_cast<size_t>(n));
  return delta;
}

// sum_k sigma_k u_k v_k^T with orthonormal u and v: what its triplets are is known.
FactoredDelta WithSpectrum(uint64_t seed, int64_t m, int64_t n, const std::vector<double>& sigma) {
  FactoredDelta delta;
  delta.height = m;
  delta.width = n;
  delta.scales = sigma;
  delta.rows = RandomOrthonormal(seed, static_cast<size_t>(m), sigma.size());
  delta.columns = RandomOrthonormal(seed + 1, static_cast<size_t>(n), sigma.size());
  return delta;
}

std::vector<double> DenseOf(const FactoredDelta& delta) {
  const auto m = static_cast<size_t>(delta.height), n = static_cast<size_t>(delta.width);
  std::vector<double> a(m * n);
  for (size_t k = 0; k < delta.rank(); ++k) {
    for (size_t i = 0; i < m; ++i) {
      for (size_t j = 0; j < n; ++j) {
        a[i * n + j] += delta.scales[k] * delta.rows[k * m + i] * delta.columns[k * n + j];
      }
    }
  }
  return a;
}

TopKResult SolveFactors(const FactoredDelta& delta, int k) {
  SerialExecutor serial;
  absl::StatusOr<TopKResult> result = LowRankTopK(delta, k, serial);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *std::move(result) : TopKResult{};
}

// What defines the leading triplets of a matrix, within a few roundings of its largest value.
void CheckAgainstDense(const FactoredDelta& delta, const TopKResult& result) {
  const Triplets& t = result.triplets;
  const auto m = static_cast<size_t>(delta.height), n = static_cast<size_t>(delta.width);
  const std::vector<double> a = DenseOf(delta);
  std::vector<double> want = ReferenceSingularValues(a, delta.height, delta.width);
  const auto k = static_cast<size_t>(t.k);
  ASSERT_EQ(t.rows, delta.height);
  ASSERT_EQ(t.cols, delta.width);
  ASSERT_EQ(t.sigma.size(), k);
  ASSERT_EQ(t.u.size(), k * m);
  ASSERT_EQ(t.v.size(), k * n);
  // The dense sums round as well, and more of them where terms cancel.
  double sum = 0;
  for (size_t e = 0; e < delta.rank(); ++e) {
    sum += std::abs(delta.scales[e]) * Norm({&delta.rows[e * m], &delta.rows[e * m] + m}) *
           Norm({&delta.columns[e * n], &delta.columns[e * n] + n});
  }
  const double slack = 1e-14 * sum;
  for (size_t i = 0; i < k; ++i) {
    EXPECT_NEAR(t.sigma[i], want[i], slack) << "sigma " << i;
    if (i > 0) {
      EXPECT_LE(t.sigma[i], t.sigma[i - 1]);
    }
    const double* u = &t.u[i * m];
    const double* v = &t.v[i * n];
    if (t.sigma[i] == 0) {
      EXPECT_TRUE(std::all_of(u, u + m, [](double x) { return x == 0; }));
      EXPECT_TRUE(std::all_of(v, v + n, [](double x) { return x == 0; }));
      continue;
    }
    std::vector<double> left(m), right(n);
    for (size_t r = 0; r < m; ++r) {
      for (size_t c = 0; c < n; ++c) {
        left[r] += a[r * n + c] * v[c];
        right[c] += a[r * n + c] * u[r];
      }
    }
    for (size_t r = 0; r < m; ++r) left[r] -= t.sigma[i] * u[r];
    for (size_t c = 0; c < n; ++c) right[c] -= t.sigma[i] * v[c];
    EXPECT_LE(Norm(left), slack) << "A v - sigma u of triplet " << i;
    EXPECT_LE(Norm(right), slack) << "A^T u - sigma v of triplet " << i;
    for (size_t j = 0; j <= i; ++j) {
      double uu = 0, vv = 0;
      for (size_t r = 0; r < m; ++r) uu += u[r] * t.u[j * m + r];
      for (size_t c = 0; c < n; ++c) vv += v[c] * t.v[j * n + c];
      EXPECT_NEAR(uu, i == j, 1e-13) << i << " and " << j;
      EXPECT_NEAR(vv, i == j, 1e-13) << i << " and " << j;
    }
    const auto largest =
        std::max_element(u, u + m, [](double x, double y) { return std::abs(x) < std::abs(y); });
    EXPECT_GT(*largest, 0);
  }
  if (k < want.size()) {
    EXPECT_NEAR(result.sigma_next, want[k], slack);
  } else {
    EXPECT_EQ(result.sigma_next, 0);
  }
  EXPECT_EQ(result.passes, 0);
  EXPECT_EQ(result.steps, 0);
}

TEST(LowRankTopK, IsTheLeadingSplitOfTheDenseMatrix) {
  for (const auto& [m, n] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 1}, {1, 37}, {37, 1}, {5, 9}, {13, 7}, {64, 48}, {31, 200}, {257, 130}}) {
    for (const size_t rank : {1, 2, 3, 7, 16, 40}) {
      for (const int k : {1, 2, 5, 16}) {
        if (k > std::min(m, n)) continue;
        SCOPED_TRACE(testing::Message() << m << " x " << n << ", rank " << rank << ", k " << k);
        const FactoredDelta delta = RandomFactors(rank, m, n, rank);
        const TopKResult r = SolveFactors(delta, k);
        CheckAgainstDense(delta, r);
        const auto side = static_cast<size_t>(std::min(m, n));
        const bool more = static_cast<size_t>(k) < std::min(rank, side);
        EXPECT_EQ(r.sigma_next > 0, more);
        EXPECT_EQ(r.gap_ratio == kInfinity, !more);
        for (size_t i = 0; i < static_cast<size_t>(k); ++i) {
          EXPECT_EQ(r.triplets.sigma[i] > 0, i < rank) << "triplet " << i;
        }
      }
    }
  }
}

TEST(LowRankTopK, KnownSpectra) {
  const TopKResult r = SolveFactors(WithSpectrum(3, 90, 70, {5, -3, 0.5}), 2);
  EXPECT_NEAR(r.triplets.sigma[0], 5, 1e-13);
  EXPECT_NEAR(r.triplets.sigma[1], 3, 1e-13);
  EXPECT_NEAR(r.sigma_next, 0.5, 1e-13);
  EXPECT_NEAR(r.gap_ratio, 6, 1e-11);
  EXPECT_EQ(r.outcome, SolverOutcome::kConverged);
  // One element of one row and column.
  FactoredDelta unit;
  unit.height = 3;
  unit.width = 4;
  unit.scales = {-0.25};
  unit.rows = {0, 2, 0};
  unit.columns = {0, 0, 0, 4};
  const TopKResult one = SolveFactors(unit, 2);
  EXPECT_EQ(one.triplets.sigma, (std::vector<double>{2, 0}));
  EXPECT_EQ(one.triplets.u, (std::vector<double>{0, 1, 0, 0, 0, 0}));
  EXPECT_EQ(one.triplets.v, (std::vector<double>{0, 0, 0, -1, 0, 0, 0, 0}));
}

TEST(LowRankTopK, EqualSingularValuesAreIllDefinedUnlessKTakesThemAll) {
  const FactoredDelta delta = WithSpectrum(9, 60, 80, {4, 4, 4, 1});
  for (const int k : {1, 2}) {
    const TopKResult r = SolveFactors(delta, k);
    EXPECT_EQ(r.outcome, SolverOutcome::kIllDefined) << k;
    EXPECT_NEAR(r.gap_ratio, 1, 1e-12);
    CheckAgainstDense(delta, r);
  }
  EXPECT_EQ(SolveFactors(delta, 3).outcome, SolverOutcome::kConverged);
  CheckAgainstDense(delta, SolveFactors(delta, 3));
}

TEST(LowRankTopK, FactorsThatDependOnEachOther) {
  FactoredDelta delta = RandomFactors(4, 50, 40, 6);
  // Its second term is the first's again, and the third takes it back.
  std::copy_n(&delta.rows[0], 50, &delta.rows[50]);
  std::copy_n(&delta.columns[0], 40, &delta.columns[40]);
  std::copy_n(&delta.rows[0], 50, &delta.rows[100]);
  std::copy_n(&delta.columns[0], 40, &delta.columns[80]);
  delta.scales = {2, 3, -5, 1, 0.5, 0.25};
  const TopKResult r = SolveFactors(delta, 5);
  CheckAgainstDense(delta, r);
  EXPECT_GT(r.triplets.sigma[2], 0);
  EXPECT_EQ(r.triplets.sigma[3], 0) << "what cancels is no direction";
  EXPECT_EQ(r.sigma_next, 0);
}

TEST(LowRankTopK, ZeroFactorsAndScales) {
  FactoredDelta delta = RandomFactors(5, 20, 30, 3);
  std::fill_n(delta.rows.begin(), 20, 0.0);          // of the first term
  std::fill_n(delta.columns.begin() + 30, 30, 0.0);  // of the second
  TopKResult r = SolveFactors(delta, 2);
  CheckAgainstDense(delta, r);
  EXPECT_EQ(r.triplets.sigma[1], 0);
  EXPECT_EQ(r.outcome, SolverOutcome::kConverged);
  delta.scales[2] = 0;
  r = SolveFactors(delta, 2);
  EXPECT_EQ(r.outcome, SolverOutcome::kZero);
  EXPECT_EQ(r.gap_ratio, kInfinity);
  EXPECT_EQ(r.triplets.u, std::vector<double>(40));
  FactoredDelta none;
  none.height = 20;
  none.width = 30;
  r = SolveFactors(none, 3);
  EXPECT_EQ(r.outcome, SolverOutcome::kZero);
  EXPECT_EQ(r.triplets.sigma, std::vector<double>(3));
  EXPECT_EQ(r.triplets.v, std::vector<double>(90));
}

// Powers of two change the values alone, however far they go: squares neither overflow nor vanish.
TEST(LowRankTopK, FactorsOfAnySize) {
  const FactoredDelta plain = RandomFactors(6, 40, 33, 4);
  const TopKResult want = SolveFactors(plain, 2);
  struct {
    int scale, rows, columns;
  } const cases[] = {
      {0, 600, -600}, {0, -700, 700}, {900, -450, -450}, {-300, -300, -300}, {500, 200, 200}};
  for (const auto& c : cases) {
    FactoredDelta delta = plain;
    for (double& x : delta.scales) x = std::ldexp(x, c.scale);
    for (double& x : delta.rows) x = std::ldexp(x, c.rows);
    for (double& x : delta.columns) x = std::ldexp(x, c.columns);
    const TopKResult r = SolveFactors(delta, 2);
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(r.triplets.sigma[i],
                std::ldexp(want.triplets.sigma[i], c.scale + c.rows + c.columns));
    }
    EXPECT_EQ(r.triplets.u, want.triplets.u);
    EXPECT_EQ(r.triplets.v, want.triplets.v);
    EXPECT_EQ(r.gap_ratio, want.gap_ratio);
  }
}

TEST(LowRankTopK, WhatIsWrongIsSaid) {
  SerialExecutor serial;
  FactoredDelta delta = RandomFactors(7, 6, 5, 2);
  for (double& x : delta.rows) x = std::ldexp(x, 1000);
  for (double& x : delta.columns) x = std::ldexp(x, 1000);
  EXPECT_EQ(LowRankTopK(delta, 1, serial).status().code(), absl::StatusCode::kOutOfRange);
  delta = RandomFactors(7, 6, 5, 2);
  for (const int k : {0, 6}) {
    EXPECT_EQ(LowRankTopK(delta, k, serial).status().code(), absl::StatusCode::kInvalidArgument);
  }
  delta.columns.pop_back();
  EXPECT_EQ(LowRankTopK(delta, 1, serial).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(LowRankTopK, TheSameBitsForAnyThreadsAndInstructionSet) {
  const FactoredDelta delta = RandomFactors(8, 3000, 900, 24);
  const TopKResult want = SolveFactors(delta, 4);
  const auto same = [&](const TopKResult& r, std::string_view what) {
    EXPECT_TRUE(r.triplets.sigma == want.triplets.sigma && r.triplets.u == want.triplets.u &&
                r.triplets.v == want.triplets.v && r.sigma_next == want.sigma_next)
        << what;
  };
  ThreadPool pool(3);
  absl::StatusOr<TopKResult> threads = LowRankTopK(delta, 4, pool);
  ASSERT_TRUE(threads.ok()) << threads.status();
  same(*threads, "four threads");
  for (const std::string_view name : AvailableSimd()) {
    ASSERT_TRUE(ForceSimd(name).ok());
    same(SolveFactors(delta, 4), name);
  }
  ASSERT_TRUE(ForceSimd(AvailableSimd().front()).ok());
}

// The solver sees the products rounded to float32, of whose head it certifies the angle.
TEST(LowRankTopK, AgreesWithPassesOverTheMatrixWithinTheirCertificate) {
  for (const auto& [m, n] :
       std::vector<std::pair<int64_t, int64_t>>{{300, 200}, {128, 500}, {700, 90}}) {
    for (const size_t rank : {1, 4, 16}) {
      for (const int k : {1, 3}) {
        SCOPED_TRACE(testing::Message() << m << " x " << n << ", rank " << rank << ", k " << k);
        const FactoredDelta delta = RandomFactors(rank + 10, m, n, rank);
        Tensor dense(DType::kF32, DenseOf(delta));
        TensorView expert = dense.View();
        expert.delta = true;
        ThreadPool pool(1);
        const Tensor base(DType::kBF16, expert.size);
        const auto passes = ComputeTopK({base.View(), expert, m, n}, {.k = k, .seed = 1}, pool);
        ASSERT_TRUE(passes.ok()) << passes.status();
        EXPECT_GT(passes->passes, 0);
        const TopKResult r = SolveFactors(delta, k);
        const double first = r.triplets.sigma[0];
        const double rounding = 0x1p-24 * first;
        for (size_t i = 0; i < std::min(rank, static_cast<size_t>(k)); ++i) {
          EXPECT_NEAR(passes->triplets.sigma[i], r.triplets.sigma[i], 2 * rounding) << i;
        }
        if (r.outcome != SolverOutcome::kConverged) continue;
        // ||H - H'||_F, where H has all of the K directions.
        const auto rows = static_cast<size_t>(m), cols = static_cast<size_t>(n);
        double difference = 0;
        for (size_t i = 0; i < rows; ++i) {
          for (size_t j = 0; j < cols; ++j) {
            double h = 0;
            for (size_t e = 0; e < std::min(rank, static_cast<size_t>(k)); ++e) {
              h += r.triplets.sigma[e] * r.triplets.u[e * rows + i] * r.triplets.v[e * cols + j];
              h -= passes->triplets.sigma[e] * passes->triplets.u[e * rows + i] *
                   passes->triplets.v[e * cols + j];
            }
            difference += h * h;
          }
        }
        const double gap = r.sigma_next == 0 ? 1 : 1 - 1 / r.gap_ratio;
        EXPECT_LE(std::sqrt(difference),
                  2 * first * (passes->vector_error + 8 * 0x1p-24 / gap) * std::sqrt(k));
      }
    }
  }
}

}  // namespace
}  // namespace merganser
