#include "common/methods/resmerge_gate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tests/common/methods/resmerge_reference.h"

namespace merganser {
namespace {

constexpr uint64_t kSeed = 260602252;
constexpr size_t kLength = 40;

class Vectors {
 public:
  explicit Vectors(uint64_t seed) : random_(seed) {}

  Vec Random(double scale = 1) {
    std::normal_distribution<double> normal(0, scale);
    Vec out(kLength);
    for (double& x : out) x = normal(random_);
    return out;
  }
  // About `common` for all, and each its own share.
  std::vector<Vec> Family(size_t n, double common, double own) {
    const Vec shared = Random(common);
    std::vector<Vec> out;
    for (size_t i = 0; i < n; ++i) {
      out.push_back(Random(own));
      for (size_t e = 0; e < kLength; ++e) out.back()[e] += shared[e];
    }
    return out;
  }

 private:
  std::mt19937_64 random_;
};

// Orthogonal to all others of its kind: one coordinate each.
Vec Axis(size_t e, double length) {
  Vec out(kLength, 0.0);
  out[e] = length;
  return out;
}

Vec Zero() { return Vec(kLength, 0.0); }

ResMergeGate GateOf(const std::vector<Vec>& residuals, const std::vector<Vec>& heads, bool scored,
                    const ResMergeParameters& parameters = {}) {
  return ComputeResMergeGate(Gram(residuals), Gram(heads), static_cast<int>(residuals.size()),
                             scored, parameters);
}

Vec Combine(const std::vector<Vec>& vectors, const std::vector<double>& weights) {
  Vec out(kLength, 0.0);
  for (size_t i = 0; i < vectors.size(); ++i) {
    for (size_t e = 0; e < kLength; ++e) out[e] += weights[i] * vectors[i][e];
  }
  return out;
}

double Distance(const Vec& a, const Vec& b) {
  Vec difference(a.size());
  for (size_t e = 0; e < a.size(); ++e) difference[e] = a[e] - b[e];
  return Norm(difference);
}

double LargestNorm(const std::vector<Vec>& vectors) {
  double largest = 0;
  for (const Vec& vector : vectors) largest = std::max(largest, Norm(vector));
  return largest;
}

// The gate's scalars make the vectors that the formulas make.
void ExpectAgrees(const std::vector<Vec>& residuals, const std::vector<Vec>& heads, bool scored,
                  const ResMergeParameters& parameters, const std::string& what) {
  SCOPED_TRACE(what);
  const ReferenceMerge expected = EvaluateVectors(residuals, heads, scored, parameters);
  const ResMergeGate gate = GateOf(residuals, heads, scored, parameters);
  ASSERT_EQ(gate.residual_weights.size(), residuals.size());
  ASSERT_EQ(gate.head_weights.size(), heads.size());
  const double scale = std::max(LargestNorm(residuals), 1e-8);
  const Vec backbone = Combine(residuals, gate.residual_weights);
  const Vec correction = Combine(heads, gate.head_weights);
  EXPECT_LE(Distance(backbone, expected.backbone), 1e-12 * scale);
  // A norm that cancels is known to half the digits only, and C is a share of it.
  EXPECT_LE(Distance(correction, expected.correction), 1e-7 * scale);
  if (Norm(expected.backbone) > 1e-3 * scale) {
    EXPECT_LE(Distance(correction, expected.correction), 1e-11 * scale);
    EXPECT_NEAR(gate.backbone_norm, Norm(expected.backbone), 1e-11 * scale);
    EXPECT_NEAR(gate.correction_norm, Norm(expected.correction), 1e-11 * scale);
  }
  EXPECT_NEAR(gate.pairwise, expected.s, 1e-12);
  EXPECT_NEAR(gate.head_agreement, expected.agreement, 1e-12);
  EXPECT_EQ(gate.sphere_branch, expected.sphere);
  if (expected.consensus_norm > 1e-3) {
    EXPECT_NEAR(gate.coherence, expected.c, 1e-11);
    EXPECT_NEAR(gate.jump_distance,
                expected.c - 1 / std::sqrt(static_cast<double>(residuals.size())), 1e-11);
    EXPECT_NEAR(gate.score, expected.score, 1e-11);
    EXPECT_NEAR(gate.beta, expected.beta, 1e-11);
  }
}

TEST(ResMergeGateTest, AgreesWithTheFormulasOnRandomVectors) {
  for (uint64_t trial = 0; trial < 40; ++trial) {
    Vectors vectors(kSeed + trial);
    for (size_t n = 1; n <= 6; ++n) {
      for (const double common : {0.0, 0.2, 1.0, 5.0}) {
        const std::vector<Vec> residuals = vectors.Family(n, common, 1);
        const std::vector<Vec> heads = vectors.Family(n, 1, 0.5 + common);
        for (const bool scored : {false, true}) {
          ExpectAgrees(residuals, heads, scored, {},
                       "seed " + std::to_string(kSeed + trial) + " n " + std::to_string(n) +
                           " common " + std::to_string(common));
        }
      }
    }
  }
}

TEST(ResMergeGateTest, AgreesForTaskVectorsOfVeryDifferentSizes) {
  Vectors vectors(kSeed);
  for (const double scale : {1e-6, 1e-3, 1.0, 1e6}) {
    const std::vector<Vec> residuals = {vectors.Random(scale), vectors.Random(scale * 1e-3),
                                        vectors.Random(scale * 10)};
    const std::vector<Vec> heads = vectors.Family(3, scale, scale);
    ExpectAgrees(residuals, heads, true, {}, "scale " + std::to_string(scale));
  }
}

TEST(ResMergeGateTest, AgreesForOtherParameters) {
  Vectors vectors(kSeed);
  const std::vector<Vec> residuals = vectors.Family(3, 1, 1), heads = vectors.Family(3, 1, 1);
  for (const double beta_min : {0.0, 0.7, 2.0}) {
    for (const double beta_max : {0.0, 1.0, 3.0}) {
      for (const double rho : {0.0, 0.2, 1.0, 10.0}) {
        ExpectAgrees(residuals, heads, true, {1, beta_min, beta_max, rho}, "parameters");
      }
    }
  }
}

TEST(ResMergeGateTest, AZeroResidualCountsWithCosineZero) {
  Vectors vectors(kSeed);
  std::vector<Vec> residuals = vectors.Family(4, 2, 1);
  residuals[2] = Zero();
  ExpectAgrees(residuals, vectors.Family(4, 1, 1), true, {}, "one zero residual");

  // Two equal residuals and a zero one: s = 1/3, c = 2/3.
  const Vec r = vectors.Random();
  const ResMergeGate gate = GateOf({r, r, Zero()}, {Zero(), Zero(), Zero()}, true);
  EXPECT_NEAR(gate.pairwise, 1.0 / 3, 1e-7);
  EXPECT_NEAR(gate.coherence, 2.0 / 3, 1e-7);
}

TEST(ResMergeGateTest, NothingButZerosGivesTheBase) {
  for (size_t n = 1; n <= 4; ++n) {
    const std::vector<Vec> zeros(n, Zero());
    const ResMergeGate gate = GateOf(zeros, zeros, true);
    EXPECT_EQ(gate.residual_weights, std::vector<double>(n, 0.0));
    EXPECT_EQ(gate.head_weights, std::vector<double>(n, 0.0));
    EXPECT_EQ(gate.backbone_norm, 0);
    EXPECT_EQ(gate.head_agreement, 0);
    EXPECT_FALSE(gate.sphere_branch);
    // As far from the jump as can be: what nobody changed is no tensor to look at.
    EXPECT_EQ(gate.jump_distance, -1 / std::sqrt(static_cast<double>(n)));
  }
}

TEST(ResMergeGateTest, HeadsWithoutResidualsAreNotAdded) {
  Vectors vectors(kSeed);
  const std::vector<Vec> zeros(2, Zero());
  const ResMergeGate gate = GateOf(zeros, vectors.Family(2, 1, 0.1), true);
  EXPECT_EQ(gate.head_weights, (std::vector<double>{0, 0}));
  EXPECT_EQ(gate.correction_norm, 0);
  EXPECT_GT(gate.head_agreement, 0.9);
}

TEST(ResMergeGateTest, ResidualsBelowEpsilonAreZero) {
  const ResMergeGate gate = GateOf({Axis(0, 0.9e-8), Axis(1, 1e-9)}, {Zero(), Zero()}, true);
  EXPECT_EQ(gate.residual_weights, (std::vector<double>{0, 0}));
}

TEST(ResMergeGateTest, OppositeExpertsGiveTheMeanOfTheResiduals) {
  Vectors vectors(kSeed);
  const Vec r = vectors.Random();
  Vec opposite = r;
  for (double& x : opposite) x = -x;
  const std::vector<Vec> heads = vectors.Family(2, 1, 1);
  ExpectAgrees({r, opposite}, heads, true, {}, "opposite");
  const ResMergeGate gate = GateOf({r, opposite}, heads, true);
  EXPECT_FALSE(gate.sphere_branch);
  EXPECT_EQ(gate.residual_weights, (std::vector<double>{0.5, 0.5}));
  EXPECT_EQ(gate.coherence, 0);

  // Three that cancel up to rounding.
  const std::vector<Vec> star = {Axis(0, 2),
                                 Combine({Axis(0, 1), Axis(1, std::sqrt(3.0))}, {-1, 1}),
                                 Combine({Axis(0, 1), Axis(1, std::sqrt(3.0))}, {-1, -1})};
  EXPECT_FALSE(GateOf(star, {Zero(), Zero(), Zero()}, true).sphere_branch);
}

TEST(ResMergeGateTest, IdenticalExpertsGiveThatExpertsResidual) {
  Vectors vectors(kSeed);
  const Vec r = vectors.Random();
  for (size_t n = 2; n <= 6; ++n) {
    const std::vector<Vec> same(n, r);
    const ResMergeGate gate = GateOf(same, std::vector<Vec>(n, Zero()), true);
    EXPECT_TRUE(gate.sphere_branch);
    EXPECT_NEAR(gate.coherence, 1, 1e-7);
    EXPECT_NEAR(gate.pairwise, 1, 1e-7);
    EXPECT_NEAR(gate.score, 1, 1e-7);
    EXPECT_NEAR(gate.beta, 0.7, 1e-7);
    EXPECT_LE(Distance(Combine(same, gate.residual_weights), r), 1e-7 * Norm(r));
  }
}

TEST(ResMergeGateTest, OneExpertIsAlwaysTheMean) {
  Vectors vectors(kSeed);
  const Vec r = vectors.Random(), h = vectors.Random();
  const ResMergeGate gate = GateOf({r}, {h}, true);
  EXPECT_FALSE(gate.sphere_branch);
  EXPECT_EQ(gate.residual_weights, std::vector<double>{1.0});
  EXPECT_EQ(gate.pairwise, 1);
  EXPECT_EQ(gate.head_agreement, 1);
  EXPECT_NEAR(gate.head_weights[0] * Norm(h), 0.2 * Norm(r), 1e-12 * Norm(r));
}

TEST(ResMergeGateTest, NearlyOrthogonalExpertsSitOnTheJump) {
  for (size_t n = 2; n <= 6; ++n) {
    for (const double coupling : {-1e-3, -1e-6, 1e-6, 1e-3}) {
      // Every pair has a cosine of about `coupling`.
      std::vector<Vec> residuals;
      for (size_t i = 0; i < n; ++i) {
        residuals.push_back(Axis(i, static_cast<double>(i + 1)));
        for (size_t j = 0; j < n; ++j) {
          if (j != i) residuals[i][j] = coupling / 2 * static_cast<double>(i + 1);
        }
      }
      ExpectAgrees(residuals, std::vector<Vec>(n, Zero()), true, {},
                   "n " + std::to_string(n) + " coupling " + std::to_string(coupling));
      const ResMergeGate gate = GateOf(residuals, std::vector<Vec>(n, Zero()), true);
      EXPECT_EQ(gate.sphere_branch, coupling > 0) << n << " " << coupling;
      EXPECT_EQ(gate.jump_distance > 0, coupling > 0) << n << " " << coupling;
      EXPECT_LT(std::fabs(gate.jump_distance), 1e-2);
    }
    // Exactly orthogonal: c <= 1 / sqrt(n), so the mean.
    std::vector<Vec> axes;
    for (size_t i = 0; i < n; ++i) axes.push_back(Axis(i, 2));
    EXPECT_FALSE(GateOf(axes, std::vector<Vec>(n, Zero()), true).sphere_branch) << n;
  }
}

TEST(ResMergeGateTest, HeadsAbsentInSomeExperts) {
  Vectors vectors(kSeed);
  const std::vector<Vec> residuals = vectors.Family(4, 1, 1);
  std::vector<Vec> heads(4, Zero());
  EXPECT_EQ(GateOf(residuals, heads, true).head_agreement, 0);
  EXPECT_EQ(GateOf(residuals, heads, true).head_weights, std::vector<double>(4, 0.0));
  for (size_t present = 1; present <= 4; ++present) {
    heads[present - 1] = vectors.Random();
    ExpectAgrees(residuals, heads, true, {}, "heads " + std::to_string(present));
    if (present == 1) {
      EXPECT_EQ(GateOf(residuals, heads, true).head_agreement, 1);
    }
  }
  // A head too small to count still is part of the mean.
  heads[1] = Axis(0, 1e-9);
  ExpectAgrees(residuals, heads, true, {}, "tiny head");
}

TEST(ResMergeGateTest, HeadsThatDisagreeAreNotAdded) {
  Vectors vectors(kSeed);
  const std::vector<Vec> residuals = vectors.Family(2, 1, 1);
  const ResMergeGate opposite = GateOf(residuals, {Axis(0, 1), Axis(0, -2)}, true);
  EXPECT_EQ(opposite.head_agreement, 0);
  EXPECT_EQ(opposite.head_weights, (std::vector<double>{0, 0}));
  // A pair that agrees and one that does not: negative cosines count as zero.
  ExpectAgrees(vectors.Family(3, 1, 1), {Axis(0, 1), Axis(0, 3), Axis(0, -1)}, true, {},
               "two of three");
}

TEST(ResMergeGateTest, WithoutHeadBudgetNoHeadIsAdded) {
  Vectors vectors(kSeed);
  const std::vector<Vec> residuals = vectors.Family(3, 1, 1), heads = vectors.Family(3, 1, 0);
  ResMergeParameters parameters;
  parameters.head_ratio_budget = 0;
  const ResMergeGate gate = GateOf(residuals, heads, true, parameters);
  EXPECT_EQ(gate.head_weights, std::vector<double>(3, 0.0));
  EXPECT_EQ(gate.correction_norm, 0);
}

TEST(ResMergeGateTest, FamiliesThatAreNotScoredUseBetaMax) {
  Vectors vectors(kSeed);
  const std::vector<Vec> residuals = vectors.Family(3, 1, 1), heads = vectors.Family(3, 1, 1);
  const ResMergeGate plain = GateOf(residuals, heads, false),
                     scored = GateOf(residuals, heads, true);
  EXPECT_EQ(plain.score, 0);
  EXPECT_EQ(plain.beta, 1.0);
  EXPECT_GT(scored.score, 0.5);
  EXPECT_LT(scored.beta, 1.0);
  // c < 1, so a smaller exponent means a longer backbone.
  EXPECT_GT(scored.backbone_norm, plain.backbone_norm);
}

TEST(ResMergeGateTest, ScalingAllTaskVectorsScalesTheMerge) {
  Vectors vectors(kSeed);
  const std::vector<Vec> residuals = vectors.Family(4, 1, 1), heads = vectors.Family(4, 1, 1);
  const ResMergeGate gate = GateOf(residuals, heads, true);
  for (const double by : {0.125, 3.0, 1000.0}) {
    std::vector<Vec> scaled_residuals, scaled_heads;
    for (size_t i = 0; i < 4; ++i) {
      scaled_residuals.push_back(Combine({residuals[i]}, {by}));
      scaled_heads.push_back(Combine({heads[i]}, {by}));
    }
    const ResMergeGate scaled = GateOf(scaled_residuals, scaled_heads, true);
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_NEAR(scaled.residual_weights[i], gate.residual_weights[i], 1e-7);
      EXPECT_NEAR(scaled.head_weights[i], gate.head_weights[i], 1e-7);
    }
  }
}

TEST(ResMergeGateTest, OrderOfExpertsDoesNotMatter) {
  Vectors vectors(kSeed);
  const std::vector<Vec> residuals = vectors.Family(4, 1, 1), heads = vectors.Family(4, 1, 1);
  const ResMergeGate gate = GateOf(residuals, heads, true);
  std::vector<size_t> order = {0, 1, 2, 3};
  while (std::next_permutation(order.begin(), order.end())) {
    std::vector<Vec> moved_residuals, moved_heads;
    for (const size_t i : order) {
      moved_residuals.push_back(residuals[i]);
      moved_heads.push_back(heads[i]);
    }
    const ResMergeGate moved = GateOf(moved_residuals, moved_heads, true);
    for (size_t k = 0; k < 4; ++k) {
      EXPECT_NEAR(moved.residual_weights[k], gate.residual_weights[order[k]], 1e-13);
      EXPECT_NEAR(moved.head_weights[k], gate.head_weights[order[k]], 1e-13);
    }
  }
}

TEST(ResMergeGateTest, RoundingBelowZeroInAGramMatrixIsNoNaN) {
  // What cancellation may leave of a norm that is zero.
  const std::vector<double> residual_gram = {-1e-30, 0, 0, 1};
  const std::vector<double> head_gram = {1, -1 - 1e-15, -1 - 1e-15, 1};
  const ResMergeGate gate = ComputeResMergeGate(residual_gram, head_gram, 2, true, {});
  for (const double weight : gate.residual_weights) EXPECT_TRUE(std::isfinite(weight));
  for (const double weight : gate.head_weights) EXPECT_TRUE(std::isfinite(weight));
  EXPECT_TRUE(std::isfinite(gate.correction_norm));
}

}  // namespace
}  // namespace merganser
