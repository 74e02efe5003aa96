// The solver on the matrices it is for: separated heads, noise, ranks and ties.
#include "common/linalg/top_k.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/common/linalg/top_k_checks.h"

namespace merganser {
namespace {

std::vector<double> NoiseWithHead(size_t m, size_t n, const std::vector<double>& head,
                                  uint64_t seed = 50) {
  std::vector<double> a = FromSpectrum(seed, m, n, head);
  const std::vector<double> noise = RandomValues(seed + 7, m * n, 0.01);
  for (size_t e = 0; e < a.size(); ++e) a[e] += noise[e];
  return a;
}

TEST(TopK, SeparatedHeadInBf16TallAndWide) {
  for (const auto& [m, n] :
       std::vector<std::pair<int64_t, int64_t>>{{300, 200}, {200, 300}, {1000, 24}, {24, 1000}}) {
    const Problem p(DType::kBF16, DType::kBF16, m, n,
                    NoiseWithHead(static_cast<size_t>(m), static_cast<size_t>(n), {3, 1.5}), 0.02);
    const TopKResult r = Solve(p, 1);
    EXPECT_EQ(r.outcome, SolverOutcome::kConverged) << r.vector_error;
    EXPECT_LE(r.vector_error, 1e-6);
    EXPECT_GT(r.gap_ratio, 1.9);
    CheckTriplets(p, r, 1e-7, 1e-9);
  }
}

TEST(TopK, FewPassesForASeparatedHead) {
  const Problem p(DType::kBF16, DType::kBF16, 512, 384, NoiseWithHead(512, 384, {3}), 0.02);
  const TopKResult r = Solve(p, 1);
  EXPECT_EQ(r.outcome, SolverOutcome::kConverged);
  EXPECT_LE(r.passes, 8);
  EXPECT_EQ(r.passes, r.steps + 1);
}

// What an angle costs is its share of the task vector: a weak head may be less sharp
// than one that is all there is.
TEST(TopK, HeadIsWithinAMillionthOfTheTaskVector) {
  const auto m = size_t{300}, n = size_t{200};
  for (const double strength : {0.5, 0.8, 3.0, 100.0}) {
    const Problem p(DType::kBF16, DType::kBF16, 300, 200, NoiseWithHead(m, n, {strength}), 0.02);
    const TopKResult r = Solve(p, 1);
    EXPECT_EQ(r.outcome, SolverOutcome::kConverged) << r.vector_error;
    const double norm = Norm(p.Dense());
    EXPECT_LE(r.vector_error * r.triplets.sigma[0], 2e-6 * norm) << strength;
    EXPECT_LE(r.vector_error, 1e-5);
  }
}

// Float32 alone cannot tell such directions apart well enough.
TEST(TopK, SmallGapInBf16IsSharpenedInFloat64) {
  bool again = false;
  for (const double ratio : {1.02, 1.03, 1.05}) {
    std::vector<double> sigma = {ratio, 1.0};
    for (int i = 1; i < 60; ++i) sigma.push_back(0.6 - 0.005 * i);
    const Problem p(DType::kBF16, DType::kBF16, 260, 240, FromSpectrum(3, 260, 240, sigma), 0);
    const TopKResult r = Solve(p, 1);
    EXPECT_EQ(r.outcome, SolverOutcome::kConverged);
    EXPECT_LE(r.vector_error, 1e-5);
    EXPECT_NEAR(r.gap_ratio, ratio, 0.01);
    CheckTriplets(p, r, 1e-7, 1e-9);
    again |= r.passes > r.steps + 1;
  }
  EXPECT_TRUE(again) << "no case reached the second attempt";
}

TEST(TopK, EveryDtypePair) {
  for (const DType b : kFloats) {
    for (const DType e : kFloats) {
      const Problem p(b, e, 120, 90, NoiseWithHead(120, 90, {3, 2, 1.5}), 0.1);
      const TopKResult r = Solve(p, 2);
      EXPECT_EQ(r.outcome, SolverOutcome::kConverged);
      CheckTriplets(p, r, 1e-7, 1e-9);
    }
  }
}

TEST(TopK, ManyTriplets) {
  std::vector<double> head;
  for (int i = 0; i < 16; ++i) head.push_back(10 * std::pow(0.9, i));
  const Problem p(DType::kBF16, DType::kBF16, 260, 310, NoiseWithHead(260, 310, head), 0.02);
  for (const int k : {3, 8, 16}) {
    const TopKResult r = Solve(p, k);
    EXPECT_EQ(r.outcome, SolverOutcome::kConverged);
    EXPECT_LE(r.vector_error, 1e-5);
    CheckTriplets(p, r, 1e-7, 1e-9);
  }
}

TEST(TopK, WhiteNoiseGivesRightValuesAndAnHonestGap) {
  for (const int k : {1, 4, 16}) {
    for (const uint64_t seed : {1, 2, 3}) {
      const Problem p(DType::kBF16, DType::kBF16, 384, 256, RandomValues(seed, 384 * 256, 0.01),
                      0.02);
      const std::vector<double> want = ReferenceSingularValues(p.Dense(), 384, 256);
      const double gap = want[static_cast<size_t>(k) - 1] / want[static_cast<size_t>(k)];
      const TopKResult r = Solve(p, k);
      SCOPED_TRACE(testing::Message() << "k " << k << ", seed " << seed << ", gap " << gap);
      EXPECT_EQ(r.outcome, gap < 1.01 ? SolverOutcome::kIllDefined : SolverOutcome::kConverged);
      EXPECT_NEAR(r.gap_ratio, gap, 1e-3);
      CheckTriplets(p, r, 1e-5, 1e-6);
    }
  }
}

// The basis grows past its bound here, so the restart is what is tested.
TEST(TopK, RestartsWhenTheBasisIsFull) {
  const Problem p(DType::kF32, DType::kF32, 600, 560, RandomValues(5, 600 * 560, 0.01), 0.02);
  const TopKResult r = Solve(p, 16);
  EXPECT_GT(r.steps * 18, 264);
  EXPECT_TRUE(r.outcome == SolverOutcome::kIllDefined || r.outcome == SolverOutcome::kConverged);
  CheckTriplets(p, r, 1e-5, 1e-6);
}

TEST(TopK, RepeatedLeadingValuesAreIllDefinedUnlessKTakesThemAll) {
  for (const size_t copies : {2, 4}) {
    std::vector<double> sigma(copies, 5.0);
    for (int i = 0; i < 60; ++i) sigma.push_back(1.0 - 0.01 * i);
    const Problem p(DType::kF64, DType::kF64, 150, 130, FromSpectrum(3, 150, 130, sigma), 0);
    for (int k = 1; k < static_cast<int>(copies); ++k) {
      const TopKResult r = Solve(p, k);
      EXPECT_EQ(r.outcome, SolverOutcome::kIllDefined) << copies << " equal, k = " << k;
      CheckTriplets(p, r, 1e-6, 1e-9);
    }
    const TopKResult all = Solve(p, static_cast<int>(copies));
    EXPECT_EQ(all.outcome, SolverOutcome::kConverged);
    EXPECT_NEAR(all.gap_ratio, 5, 0.5);
    CheckTriplets(p, all, 1e-7, 1e-9);
  }
}

// Small integers: exact in bf16, and so is their difference.
Problem ExactRank(int64_t m, int64_t n, int rank) {
  std::vector<double> a(static_cast<size_t>(m * n));
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double& e = a[static_cast<size_t>(i * n + j)];
      e = static_cast<double>((i % 5 - 2) * (j % 7 - 3));
      if (rank > 1) e += static_cast<double>((i % 3) * (j % 4));
    }
  }
  return Problem(DType::kBF16, DType::kBF16, m, n, a, 0);
}

TEST(TopK, ExactLowRankGivesZeroTripletsPastTheRank) {
  for (const auto& [m, n] :
       std::vector<std::pair<int64_t, int64_t>>{{90, 70}, {70, 90}, {20, 30}}) {
    for (const int rank : {1, 2}) {
      const Problem p = ExactRank(m, n, rank);
      for (int k = 1; k <= 4; ++k) {
        const TopKResult r = Solve(p, k);
        EXPECT_EQ(r.outcome, SolverOutcome::kConverged) << m << "x" << n << " rank " << rank;
        if (k >= rank) {
          EXPECT_EQ(r.sigma_next, 0);
          EXPECT_EQ(r.gap_ratio, std::numeric_limits<double>::infinity());
        }
        for (int i = 0; i < k; ++i) {
          EXPECT_EQ(r.triplets.sigma[static_cast<size_t>(i)] != 0, i < rank);
        }
        CheckTriplets(p, r, 1e-7, 1e-9);
      }
    }
  }
}

TEST(TopK, ZeroDelta) {
  for (const int64_t side : {4, 100}) {
    const Problem p(DType::kBF16, DType::kBF16, side, side,
                    std::vector<double>(static_cast<size_t>(side * side)), 1);
    const TopKResult r = Solve(p, 3);
    EXPECT_EQ(r.outcome, SolverOutcome::kZero);
    EXPECT_EQ(r.triplets.sigma, std::vector<double>(3));
    EXPECT_EQ(r.triplets.u, std::vector<double>(static_cast<size_t>(3 * side)));
  }
}

TEST(TopK, OneElementDiffers) {
  for (const int64_t side : {30, 100}) {
    std::vector<double> a(static_cast<size_t>(side * side));
    a[static_cast<size_t>(17 * side + 5)] = -0.25;
    const Problem p(DType::kBF16, DType::kBF16, side, side, a, 0.01);
    const TopKResult r = Solve(p, 2);
    EXPECT_EQ(r.outcome, SolverOutcome::kConverged);
    EXPECT_NEAR(r.triplets.u[17], 1, 1e-14);
    EXPECT_NEAR(r.triplets.v[5], -1, 1e-14);
    EXPECT_EQ(r.triplets.sigma[1], 0);
  }
}

TEST(TopK, VectorsAndNarrowMatrices) {
  for (const auto& [m, n] : std::vector<std::pair<int64_t, int64_t>>{{1, 1},
                                                                     {1, 37},
                                                                     {37, 1},
                                                                     {1, 5000},
                                                                     {5000, 1},
                                                                     {2, 3000},
                                                                     {3000, 2},
                                                                     {5, 5},
                                                                     {3, 2000}}) {
    const Problem p(DType::kF32, DType::kBF16, m, n, RandomValues(9, static_cast<uint64_t>(m * n)),
                    0.5);
    for (int k = 1; k <= std::min<int64_t>({m, n, 5}); ++k) {
      SCOPED_TRACE(testing::Message() << m << " x " << n << ", k " << k);
      const TopKResult r = Solve(p, k);
      if (k == std::min(m, n)) {
        EXPECT_EQ(r.sigma_next, 0);
      }
      EXPECT_TRUE(r.outcome == SolverOutcome::kConverged || r.gap_ratio < 1.01);
      CheckTriplets(p, r, 1e-5, 1e-6);
    }
  }
}

}  // namespace
}  // namespace merganser
