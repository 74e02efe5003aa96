// The solver on inputs made to mislead it.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "common/linalg/krylov.h"
#include "common/linalg/random_block.h"
#include "common/linalg/top_k.h"
#include "tests/common/linalg/top_k_checks.h"

namespace merganser {
namespace {

// The strongest direction is orthogonal to the whole start block, which is
// known: the key is fixed.
TEST(TopKHostile, LeadingVectorOrthogonalToTheStartBlock) {
  for (const double strength : {20.0, 4.0}) {
    const size_t m = 220, n = 180, b = 3;
    // Orthonormalise [start block, one more] and take the last as v_1.
    std::vector<double> q(n * (b + 1));
    for (size_t j = 0; j <= b; ++j) {
      for (size_t i = 0; i < n; ++i) {
        q[j * n + i] = j < b ? linalg::RandomEntry(0, 0, j * n + i) : linalg::RandomEntry(77, 5, i);
      }
      for (int round = 0; round < 3; ++round) {
        for (size_t l = 0; l < j; ++l) {
          double dot = 0;
          for (size_t i = 0; i < n; ++i) dot += q[l * n + i] * q[j * n + i];
          for (size_t i = 0; i < n; ++i) q[j * n + i] -= dot * q[l * n + i];
        }
        double norm = 0;
        for (size_t i = 0; i < n; ++i) norm += q[j * n + i] * q[j * n + i];
        for (size_t i = 0; i < n; ++i) q[j * n + i] /= std::sqrt(norm);
      }
    }
    const double* v1 = &q[b * n];
    // Everything else lives outside of v_1, so rounding alone can lead there.
    std::vector<double> a = FromSpectrum(4, m, n, {2, 0.5, 0.4, 0.3, 0.2, 0.1});
    std::vector<double> u = RandomOrthonormal(8, m, 1);
    for (size_t i = 0; i < m; ++i) {
      double dot = 0;
      for (size_t j = 0; j < n; ++j) dot += a[i * n + j] * v1[j];
      for (size_t j = 0; j < n; ++j) a[i * n + j] += (strength * u[i] - dot) * v1[j];
    }
    const Problem p(DType::kF64, DType::kF64, m, n, a, 0);
    const TopKResult r = Solve(p, 1);
    EXPECT_EQ(r.outcome, SolverOutcome::kConverged);
    EXPECT_NEAR(r.triplets.sigma[0], strength, 0.2 * strength);
    CheckTriplets(p, r, 1e-7, 1e-9);
  }
}

// Cancelled after some number of passes.
class CancelledExecutor final : public Executor {
 public:
  explicit CancelledExecutor(int passes) : left_(passes) {}
  void ParallelFor(size_t count, const std::function<void(size_t)>& block) override {
    --left_;
    serial_.ParallelFor(count, block);
  }
  bool cancelled() const override { return left_ <= 0; }

 private:
  int left_;
  SerialExecutor serial_;
};

TEST(TopKHostile, CancelledAtAnyPassItEnds) {
  for (const auto& [rows, cols] : {std::pair<size_t, size_t>{20, 15}, {260, 240}}) {
    const Problem p(DType::kF32, DType::kF32, static_cast<int64_t>(rows),
                    static_cast<int64_t>(cols), RandomValues(3, rows * cols, 1.0), 0);
    for (const int k : {1, 4}) {
      TopKOptions options;
      options.k = k;
      int cancelled = 0;
      for (int passes = 0; passes < 500; ++passes) {
        CancelledExecutor executor(passes);
        const auto result = ComputeTopK(p.Delta(), options, executor);
        if (result.ok()) break;
        ASSERT_TRUE(absl::IsCancelled(result.status())) << result.status();
        ++cancelled;
      }
      EXPECT_GT(cancelled, 0);
      EXPECT_LT(cancelled, 500);
    }
  }
}

TEST(TopKHostile, ExtremeScales) {
  struct {
    DType dtype;
    double scale;
  } const cases[] = {{DType::kF32, 1e-30},  {DType::kF32, 1e30},  {DType::kBF16, 1e-30},
                     {DType::kBF16, 1e30},  {DType::kF64, 1e-30}, {DType::kF64, 1e30},
                     {DType::kF64, 1e-200}, {DType::kF64, 1e200}, {DType::kF64, 1e-290},
                     {DType::kF64, 1e305},  {DType::kF16, 1e-4}};
  for (const auto& c : cases) {
    for (const size_t side : {40, 120}) {
      std::vector<double> a = FromSpectrum(3, side, side, {3, 1, 0.5, 0.25});
      for (double& e : a) e *= c.scale;
      const auto s = static_cast<int64_t>(side);
      const Problem p(c.dtype, c.dtype, s, s, a, 0);
      SCOPED_TRACE(testing::Message() << DTypeName(c.dtype) << " " << c.scale << " " << side);
      const TopKResult r = Solve(p, 2);
      EXPECT_EQ(r.outcome, SolverOutcome::kConverged);
      EXPECT_NEAR(r.triplets.sigma[0] / c.scale, 3, 0.1);
      EXPECT_NEAR(r.sigma_next / c.scale, 0.5, 0.05);
      if (c.scale > 1e-100 && c.scale < 1e100) CheckTriplets(p, r, 1e-7, 1e-9);
    }
  }
}

// Squares leave the range of float32 at about 1e19, in the first step or a later one.
TEST(TopKHostile, EveryScaleOfBf16) {
  for (double exponent = -37; exponent < 38; exponent += 0.25) {
    const double scale = std::pow(10.0, exponent);
    std::vector<double> a = FromSpectrum(3, 120, 110, {3, 1, 0.5, 0.25});
    for (double& e : a) e *= scale;
    const Problem p(DType::kBF16, DType::kBF16, 120, 110, a, 0);
    const TopKResult r = Solve(p, 2);
    SCOPED_TRACE(exponent);
    EXPECT_EQ(r.outcome, SolverOutcome::kConverged);
    EXPECT_NEAR(r.triplets.sigma[0] / scale, 3, 0.1);
    EXPECT_NEAR(r.triplets.sigma[1] / scale, 1, 0.05);
    EXPECT_LE(r.vector_error, 1e-6);
  }
}

TEST(TopKHostile, LargestF64NumbersOfBothSignsAreAnErrorOrAnAnswerNeverNaN) {
  const int64_t side = 80;
  std::vector<double> b(static_cast<size_t>(side * side), -1.7e308), e(b.size(), 1.7e308);
  const Tensor base(DType::kF64, b), expert(DType::kF64, e);
  SerialExecutor serial;
  const auto r = ComputeTopK({base.View(), expert.View(), side, side}, {.k = 1, .seed = 0}, serial);
  ASSERT_FALSE(r.ok());
  EXPECT_EQ(r.status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_NE(r.status().message().find("80 x 80"), absl::string_view::npos) << r.status();
}

TEST(TopKHostile, OneHugeColumnAndGradedRows) {
  const size_t m = 150, n = 140;
  std::vector<double> column = RandomValues(1, m * n, 1e-3), graded = RandomValues(2, m * n);
  for (size_t i = 0; i < m; ++i) {
    column[i * n + 3] = 1e6;
    for (size_t j = 0; j < n; ++j) graded[i * n + j] *= std::pow(0.8, static_cast<double>(i));
  }
  for (const auto& a : {column, graded}) {
    const Problem p(DType::kF64, DType::kF64, m, n, a, 0);
    const TopKResult r = Solve(p, 3);
    EXPECT_TRUE(r.outcome == SolverOutcome::kConverged || r.outcome == SolverOutcome::kIllDefined);
    // Small values stand on rounding relative to the largest.
    CheckTriplets(p, r, 1e-7, 1e-6);
  }
}

TEST(TopKHostile, GapJustAboveAndBelowTheLimit) {
  for (const double ratio : {1.005, 1.0099, 1.0101, 1.02}) {
    std::vector<double> sigma = {ratio};
    for (int i = 0; i < 80; ++i) sigma.push_back(1 - 0.0005 * i);
    const Problem p(DType::kF64, DType::kF64, 200, 190, FromSpectrum(3, 200, 190, sigma), 0);
    const TopKResult r = Solve(p, 1);
    SCOPED_TRACE(ratio);
    EXPECT_EQ(r.outcome, ratio < 1.01 ? SolverOutcome::kIllDefined : SolverOutcome::kConverged);
    EXPECT_NEAR(r.gap_ratio, ratio, 1e-4);
    CheckTriplets(p, r, 1e-5, ratio < 1.01 ? 1e-6 : 1e-9);
    if (ratio < 1.01) continue;
    // The bound on the angle holds: v_1 is known from the construction.
    const std::vector<double> v = RandomOrthonormal(4, 190, 80 + 1);
    double dot = 0;
    for (size_t i = 0; i < 190; ++i) dot += v[i] * r.triplets.v[i];
    EXPECT_NEAR(std::abs(dot), 1, 1e-11);
    EXPECT_LE(r.vector_error, 1e-6);
  }
}

TEST(TopKHostile, AnotherSeedFindsTheSameTriplets) {
  const Problem p(DType::kF32, DType::kF32, 130, 140,
                  FromSpectrum(3, 130, 140, {3, 2.5, 2, 1, 0.9, 0.8}), 0.1);
  const TopKResult a = Solve(p, 3, 0), b = Solve(p, 3, 1);
  for (size_t i = 0; i < a.triplets.v.size(); ++i) {
    ASSERT_NEAR(a.triplets.v[i], b.triplets.v[i], 1e-6);
  }
}

TEST(TopKHostile, ShapesThatDoNotFitAreRefused) {
  SerialExecutor serial;
  const Tensor t(DType::kF32, 12), other(DType::kF32, 11), ints(DType::kI32, 12);
  const auto code = [&](const Tensor& b, const Tensor& e, int64_t m, int64_t n, int k) {
    return ComputeTopK({b.View(), e.View(), m, n}, {.k = k, .seed = 0}, serial).status().code();
  };
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(code(t, t, 3, 4, 0), kInvalid);
  EXPECT_EQ(code(t, t, 3, 4, 4), kInvalid);
  EXPECT_EQ(code(t, t, 3, 5, 1), kInvalid);
  EXPECT_EQ(code(t, other, 3, 4, 1), kInvalid);
  EXPECT_EQ(code(t, t, 0, 4, 1), kInvalid);
  EXPECT_EQ(code(t, t, -3, -4, 1), kInvalid);
  EXPECT_EQ(code(t, t, int64_t{1} << 62, 8, 1), kInvalid);
  EXPECT_EQ(code(ints, ints, 3, 4, 1), kInvalid);
  EXPECT_EQ(code(t, t, 3, 4, 3), absl::StatusCode::kOk);
}

}  // namespace
}  // namespace merganser
