// ResMerge through the seam, against a dense evaluation in float64. Accuracy bar:
// error <= 1e-5 * max(||tau||, 1e-2 * max_i ||delta_i||), tau the exact merged
// task vector.
#include "common/methods/resmerge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/base/executor.h"
#include "tests/common/methods/resmerge_reference.h"

namespace merganser {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr uint64_t kSeed = 5531;

TensorView View(const std::vector<double>& values) {
  return {reinterpret_cast<const std::byte*>(values.data()), DType::kF64, values.size()};
}

struct Matrices {
  int64_t rows = 0, cols = 0;
  Vec base;
  std::vector<Vec> experts;

  std::vector<Vec> Deltas() const {
    std::vector<Vec> deltas = experts;
    for (Vec& delta : deltas) {
      for (size_t e = 0; e < delta.size(); ++e) delta[e] -= base[e];
    }
    return deltas;
  }
};

// Task vectors with `rank` strong directions that the experts partly share, over
// noise that they partly share.
Matrices MakeMatrices(int64_t rows, int64_t cols, size_t experts, int rank, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  const auto draw = [&](int64_t size) {
    Vec out(static_cast<size_t>(size));
    for (double& x : out) x = normal(random);
    return out;
  };
  Matrices m{rows, cols, draw(rows * cols), {}};
  const Vec shared_noise = draw(rows * cols);
  std::vector<std::pair<Vec, Vec>> shared;
  for (int k = 0; k < rank; ++k) {
    Vec left = draw(rows);
    shared.emplace_back(std::move(left), draw(cols));
  }
  for (size_t i = 0; i < experts; ++i) {
    Vec delta = draw(rows * cols);
    for (size_t e = 0; e < delta.size(); ++e) delta[e] = 0.01 * (delta[e] + shared_noise[e]);
    for (int k = 0; k < rank; ++k) {
      const Vec u = draw(rows), v = draw(cols);
      const double strength = 0.3 / (k + 1);
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < cols; ++c) {
          const auto a = static_cast<size_t>(r), b = static_cast<size_t>(c);
          const auto& [left, right] = shared[static_cast<size_t>(k)];
          delta[static_cast<size_t>(r * cols + c)] +=
              strength * (left[a] + 0.5 * u[a]) * (right[b] + 0.5 * v[b]);
        }
      }
    }
    m.experts.push_back(m.base);
    for (size_t e = 0; e < delta.size(); ++e) m.experts.back()[e] += delta[e];
  }
  return m;
}

// The stats of a group of one leaf.
GroupStats Grouped(const Stats& stats) { return {{{0, 0, stats.sums}}, stats.counts, 0}; }

// A method with one leaf to run through it.
class LeafRun {
 public:
  LeafRun(const Matrices& m, const ResMergeParameters& parameters,
          std::string name = "model.layers.0.mlp.up_proj.weight")
      : method_(MakeResMerge(parameters, static_cast<int>(m.experts.size()))),
        spec_{std::move(name), {static_cast<uint64_t>(m.rows), static_cast<uint64_t>(m.cols)}},
        needs_(*method_->Needs(spec_)) {
    for (const Vec& expert : m.experts) views_.push_back(View(expert));
    leaf_.tensor = &spec_;
    leaf_.needs = &needs_;
    leaf_.rows = m.rows;
    leaf_.cols = m.cols;
    leaf_.base = View(m.base);
    leaf_.experts = views_;
    out_.resize(m.base.size());
  }

  const MergeMethod& method() const { return *method_; }
  const TensorNeeds& needs() const { return needs_; }
  const Leaf& leaf() const { return leaf_; }
  MutableTensorView out() {
    return {reinterpret_cast<std::byte*>(out_.data()), DType::kF64, out_.size()};
  }

  absl::StatusOr<Vec> Merge(Executor& executor) {
    auto analysis = method_->Analyze(leaf_, 0, {}, executor);
    if (!analysis.ok()) return analysis.status();
    report = analysis->report;
    const auto gate = method_->Reduce(needs_, 0, {}, Grouped(analysis->stats), report);
    if (!gate.ok()) return gate.status();
    const absl::Status status =
        method_->Apply(leaf_, *gate, analysis->keepsake, out(), report, executor);
    if (!status.ok()) return status;
    return out_;
  }

  std::vector<double> Field(const std::string& key) const {
    for (const ReportField& field : report) {
      if (field.key == key) return field.values;
    }
    ADD_FAILURE() << "no " << key << " in the report";
    return {0};
  }

  ReportFields report;

 private:
  std::unique_ptr<MergeMethod> method_;
  TensorSpec spec_;
  TensorNeeds needs_;
  std::vector<TensorView> views_;
  Leaf leaf_;
  Vec out_;
};

void ExpectMeetsTheBar(const Matrices& m, const ResMergeParameters& parameters, bool scored,
                       const std::string& name) {
  const std::vector<Vec> deltas = m.Deltas();
  std::vector<Vec> residuals, heads;
  double largest = 0;
  for (const Vec& delta : deltas) {
    DenseSplit split = SplitDense(delta, m.rows, m.cols, parameters.rank_topk);
    const auto k = static_cast<size_t>(parameters.rank_topk);
    ASSERT_GT(split.sigma[k - 1], 1.01 * split.sigma[k]) << "the head is ill-defined";
    residuals.push_back(std::move(split.residual));
    heads.push_back(std::move(split.head));
    largest = std::max(largest, Norm(delta));
  }
  const ReferenceMerge expected = EvaluateVectors(residuals, heads, scored, parameters);
  Vec tau = expected.backbone;
  for (size_t e = 0; e < tau.size(); ++e) tau[e] += expected.correction[e];

  LeafRun run(m, parameters, name);
  ASSERT_EQ(run.needs().mode, "spectral");
  SerialExecutor executor;
  const absl::StatusOr<Vec> merged = run.Merge(executor);
  ASSERT_TRUE(merged.ok()) << merged.status();
  Vec error(tau.size());
  for (size_t e = 0; e < tau.size(); ++e) error[e] = (*merged)[e] - m.base[e] - tau[e];
  EXPECT_LE(Norm(error), 1e-5 * std::max(Norm(tau), 1e-2 * largest));

  EXPECT_NEAR(run.Field("s")[0], expected.s, 1e-6);
  EXPECT_NEAR(run.Field("coherence")[0], expected.c, 1e-6);
  EXPECT_NEAR(run.Field("beta")[0], expected.beta, 1e-6);
  EXPECT_NEAR(run.Field("head_agreement")[0], expected.agreement, 1e-6);
  EXPECT_EQ(run.Field("branch")[0], expected.sphere ? 1 : 0);
  EXPECT_NEAR(run.Field("backbone_norm")[0], Norm(expected.backbone), 1e-5 * largest);
  EXPECT_NEAR(run.Field("correction_norm")[0], Norm(expected.correction), 1e-5 * largest);
  for (size_t i = 0; i < deltas.size(); ++i) {
    EXPECT_NEAR(run.Field("residual_norm")[i], Norm(residuals[i]), 1e-6 * largest);
    EXPECT_NEAR(run.Field("head_norm")[i], Norm(heads[i]), 1e-6 * largest);
  }
}

TEST(ResMergeTest, AgreesWithADenseEvaluation) {
  uint64_t seed = kSeed;
  for (const auto& [rows, cols] :
       {std::pair{3, 2}, {2, 17}, {24, 24}, {40, 16}, {16, 65}, {64, 96}}) {
    for (size_t experts = 1; experts <= 4; ++experts) {
      SCOPED_TRACE(testing::Message()
                   << rows << "x" << cols << ", " << experts << " experts, seed " << ++seed);
      ExpectMeetsTheBar(MakeMatrices(rows, cols, experts, 1, seed), {}, true,
                        "model.layers.0.self_attn.q_proj.weight");
    }
  }
}

TEST(ResMergeTest, AgreesWithADenseEvaluationAtHigherRanks) {
  for (const int rank : {2, 3, 5}) {
    SCOPED_TRACE(testing::Message() << "rank " << rank << " seed " << kSeed);
    ResMergeParameters parameters;
    parameters.rank_topk = rank;
    ExpectMeetsTheBar(MakeMatrices(48, 40, 3, rank, kSeed), parameters, true,
                      "model.layers.0.mlp.gate.weight");
  }
}

TEST(ResMergeTest, OnlyAttentionAndFfnAreScored) {
  const Matrices m = MakeMatrices(20, 30, 3, 1, kSeed);
  ExpectMeetsTheBar(m, {}, false, "model.projector.weight");
  LeafRun run(m, {}, "model.projector.weight");
  SerialExecutor executor;
  ASSERT_TRUE(run.Merge(executor).ok());
  EXPECT_EQ(run.Field("score")[0], 0);
  EXPECT_EQ(run.Field("beta")[0], 1);
}

TEST(ResMergeTest, AnExpertEqualToTheBaseCountsAsZero) {
  Matrices m = MakeMatrices(20, 30, 3, 1, kSeed);
  m.experts[1] = m.base;
  // The dense split of a zero matrix has no gap to ask for; evaluate by hand.
  std::vector<Vec> residuals, heads;
  for (const Vec& delta : m.Deltas()) {
    DenseSplit split = SplitDense(delta, m.rows, m.cols, 1);
    residuals.push_back(std::move(split.residual));
    heads.push_back(std::move(split.head));
  }
  const ReferenceMerge expected = EvaluateVectors(residuals, heads, true, {});
  LeafRun run(m, {});
  SerialExecutor executor;
  const absl::StatusOr<Vec> merged = run.Merge(executor);
  ASSERT_TRUE(merged.ok()) << merged.status();
  for (size_t e = 0; e < merged->size(); ++e) {
    EXPECT_NEAR((*merged)[e], m.base[e] + expected.backbone[e] + expected.correction[e], 1e-8);
  }
  EXPECT_EQ(run.Field("head_norm")[1], 0);
}

// Its residual is zero, and what rounding leaves of it has no say in the consensus of the others.
TEST(ResMergeTest, AnExpertWhoseTaskVectorHasRankKHasNoResidual) {
  Matrices m = MakeMatrices(60, 45, 4, 1, kSeed);
  for (size_t e = 0; e < m.base.size(); ++e) {
    const size_t row = e / 45, col = e % 45;
    m.experts[1][e] = m.base[e] + 0.1 * std::sin(static_cast<double>(row + 1)) *
                                      std::cos(3.0 * static_cast<double>(col));
  }
  std::vector<Vec> residuals, heads;
  for (const Vec& delta : m.Deltas()) {
    DenseSplit split = SplitDense(delta, m.rows, m.cols, 1);
    residuals.push_back(std::move(split.residual));
    heads.push_back(std::move(split.head));
  }
  ASSERT_LE(Norm(residuals[1]), 1e-13 * Norm(heads[1]));
  residuals[1].assign(residuals[1].size(), 0.0);
  const ReferenceMerge expected = EvaluateVectors(residuals, heads, true, {});
  ASSERT_TRUE(expected.sphere);
  LeafRun run(m, {});
  SerialExecutor executor;
  const absl::StatusOr<Vec> merged = run.Merge(executor);
  ASSERT_TRUE(merged.ok()) << merged.status();
  Vec tau = expected.backbone, error;
  for (size_t e = 0; e < tau.size(); ++e) {
    tau[e] += expected.correction[e];
    error.push_back((*merged)[e] - m.base[e] - tau[e]);
  }
  EXPECT_LE(Norm(error), 1e-9 * Norm(tau));
  EXPECT_EQ(run.Field("residual_norm")[1], 0);
  EXPECT_EQ(run.Field("head_energy")[1], 1);
  EXPECT_NEAR(run.Field("s")[0], expected.s, 1e-9);
  EXPECT_NEAR(run.Field("coherence")[0], expected.c, 1e-9);
}

TEST(ResMergeTest, ExpertsEqualToTheBaseGiveTheBaseBitForBit) {
  Matrices m = MakeMatrices(20, 30, 2, 1, kSeed);
  m.experts = {m.base, m.base};
  LeafRun run(m, {});
  SerialExecutor executor;
  const absl::StatusOr<Vec> merged = run.Merge(executor);
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_EQ(*merged, m.base);
}

TEST(ResMergeTest, ThreadsDoNotChangeABit) {
  const Matrices m = MakeMatrices(130, 70, 3, 2, kSeed);
  SerialExecutor serial;
  const absl::StatusOr<Vec> expected = LeafRun(m, {}).Merge(serial);
  ASSERT_TRUE(expected.ok()) << expected.status();
  for (const size_t helpers : {1, 3}) {
    ThreadPool pool(helpers);
    const absl::StatusOr<Vec> merged = LeafRun(m, {}).Merge(pool);
    ASSERT_TRUE(merged.ok()) << merged.status();
    EXPECT_EQ(*merged, *expected) << helpers << " helpers";
  }
}

TEST(ResMergeTest, ModeFamilyAndSplitFollowTheTensor) {
  const auto method = MakeResMerge({}, 3);
  const auto needs = [&](const std::string& name, Shape shape) {
    return *method->Needs({name, std::move(shape)});
  };
  const TensorNeeds spectral = needs("model.layers.0.mlp.gate.weight", {64, 32});
  EXPECT_EQ(spectral.mode, "spectral");
  EXPECT_EQ(spectral.family, "ffn");
  EXPECT_EQ(spectral.split, Split::kWhole);
  EXPECT_EQ(spectral.rounds, 1);
  EXPECT_TRUE(spectral.reads_base);
  // At least the triplets of three experts.
  EXPECT_GE(spectral.workspace_bytes, 3u * (64 + 32 + 1) * sizeof(double));
  EXPECT_EQ(spectral.note, "");

  const TensorNeeds mean = needs("model.norm.weight", {64});
  EXPECT_EQ(mean.mode, "mean");
  EXPECT_EQ(mean.rounds, 0);
  EXPECT_FALSE(mean.reads_base);
  EXPECT_EQ(mean.workspace_bytes, 0u);
  EXPECT_EQ(mean.note, "");

  EXPECT_EQ(needs("mlp.experts.down_proj", {4, 64, 32}).split, Split::kMatrices);
  EXPECT_THAT(needs("visual.patch_embed.proj.weight", {64, 3, 14, 14}).note, HasSubstr("4-D"));
  EXPECT_THAT(needs("a.q_proj.weight", {1, 64}).note, HasSubstr("rank_topk"));
  EXPECT_EQ(needs("output.weight", {151936, 64}).mode, "mean");
  EXPECT_THAT(needs("model.layers.0.wide", {151936, 64}).note, HasSubstr("vocabulary"));
}

TEST(ResMergeTest, TheReleasesClassesOnDemand) {
  const auto own = MakeResMerge({}, 2),
             release = MakeResMerge({}, 2, Scope::kTensor, Roles::kRelease);
  const TensorSpec positions{"transformer.wpe.weight", {32, 16}};
  EXPECT_EQ(own->Needs(positions)->mode, "mean");
  EXPECT_EQ(release->Needs(positions)->mode, "spectral");
  EXPECT_EQ(release->Needs(positions)->family, "other");
  const MethodInfo info = ResMergeMethod();
  MethodConfig config;
  config.numbers = {{"rank_topk", 1}};
  EXPECT_THAT(info.differs(config, positions, *own->Needs(positions)), HasSubstr("averaged"));
  EXPECT_EQ(info.differs(config, positions, *release->Needs(positions)), "");
  const TensorSpec mixer{"backbone.layers.0.mixer.in_proj.weight", {32, 16}};
  EXPECT_THAT(info.differs(config, mixer, *own->Needs(mixer)),
              AllOf(HasSubstr("attention"), HasSubstr("other")));
  const TensorSpec norm{"model.norm.weight", {16}};
  EXPECT_EQ(info.differs(config, norm, *own->Needs(norm)), "");
}

TEST(ResMergeTest, MeanModeRoundsTheFloat64SumOnce) {
  const auto method = MakeResMerge({}, 3);
  const TensorSpec spec{"model.norm.weight", {2}};
  const TensorNeeds needs = *method->Needs(spec);
  const std::vector<std::vector<float>> experts = {{16777216, 0.1F}, {1, 0.2F}, {-16777216, 0.7F}};
  std::vector<TensorView> views;
  for (const auto& expert : experts) {
    views.push_back({reinterpret_cast<const std::byte*>(expert.data()), DType::kF32, 2});
  }
  Leaf leaf;
  leaf.tensor = &spec;
  leaf.needs = &needs;
  leaf.rows = 1;
  leaf.cols = 2;
  leaf.experts = views;
  std::vector<float> out(2);
  SerialExecutor executor;
  ReportFields report;
  ASSERT_TRUE(method
                  ->Apply(leaf, {}, {}, {reinterpret_cast<std::byte*>(out.data()), DType::kF32, 2},
                          report, executor)
                  .ok());
  EXPECT_EQ(out[0], static_cast<float>(1.0 / 3));
  const double sum =
      static_cast<double>(0.1F) + static_cast<double>(0.2F) + static_cast<double>(0.7F);
  EXPECT_EQ(out[1], static_cast<float>(sum / 3));
}

TEST(ResMergeTest, GatesAndKeepsakesOfAnotherSizeAreRefused) {
  const Matrices m = MakeMatrices(8, 6, 2, 1, kSeed);
  LeafRun run(m, {});
  SerialExecutor executor;
  auto analysis = run.method().Analyze(run.leaf(), 0, {}, executor);
  ASSERT_TRUE(analysis.ok()) << analysis.status();
  EXPECT_EQ(analysis->stats.sums.size(), 8u);
  EXPECT_EQ(analysis->keepsake.values.size(), 2u * (1 + 8 + 6));
  ReportFields report;
  auto gate = run.method().Reduce(run.needs(), 0, {}, Grouped(analysis->stats), report);
  ASSERT_TRUE(gate.ok()) << gate.status();

  Stats short_stats = analysis->stats;
  short_stats.sums.pop_back();
  EXPECT_EQ(run.method().Reduce(run.needs(), 0, {}, Grouped(short_stats), report).status().code(),
            absl::StatusCode::kInternal);
  EXPECT_FALSE(run.method().Reduce(run.needs(), 0, {}, {}, report).ok());

  Gate long_gate = *gate;
  long_gate.values.push_back(0);
  EXPECT_EQ(run.method()
                .Apply(run.leaf(), long_gate, analysis->keepsake, run.out(), run.report, executor)
                .code(),
            absl::StatusCode::kInternal);
  EXPECT_FALSE(
      run.method().Apply(run.leaf(), {}, analysis->keepsake, run.out(), run.report, executor).ok());

  Keepsake torn = analysis->keepsake;
  torn.values.pop_back();
  const absl::Status status =
      run.method().Apply(run.leaf(), *gate, torn, run.out(), run.report, executor);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("29"), HasSubstr("30")));
  EXPECT_FALSE(run.method().Apply(run.leaf(), *gate, {}, run.out(), run.report, executor).ok());
}

TEST(ResMergeTest, StatsOfLeavesAddUpToThoseOfTheWhole) {
  // <R_i, R_j> over two matrices is the sum of the two: what wider scopes rest on.
  const Matrices a = MakeMatrices(12, 10, 2, 1, kSeed), b = MakeMatrices(7, 9, 2, 1, kSeed + 1);
  SerialExecutor executor;
  LeafRun run_a(a, {}), run_b(b, {});
  const auto analysis_a = run_a.method().Analyze(run_a.leaf(), 0, {}, executor);
  const auto analysis_b = run_b.method().Analyze(run_b.leaf(), 0, {}, executor);
  ASSERT_TRUE(analysis_a.ok() && analysis_b.ok());
  GroupStats group;
  group.leaves = {{0, 0, analysis_a->stats.sums}, {0, 1, analysis_b->stats.sums}};
  const Vec sum = group.Total();
  const std::vector<Vec> da = a.Deltas(), db = b.Deltas();
  for (size_t i = 0; i < 2; ++i) {
    const DenseSplit sa = SplitDense(da[i], 12, 10, 1), sb = SplitDense(db[i], 7, 9, 1);
    EXPECT_NEAR(sum[i * 2 + i], Dot(sa.residual, sa.residual) + Dot(sb.residual, sb.residual),
                1e-6);
    EXPECT_NEAR(sum[4 + i * 2 + i], Dot(sa.head, sa.head) + Dot(sb.head, sb.head), 1e-6);
  }
}

TEST(ResMergeTest, OverflowOfTheOutputTypeNamesTheElement) {
  Matrices m = MakeMatrices(4, 5, 2, 1, kSeed);
  m.base[13] = 70000;
  for (Vec& expert : m.experts) expert[13] = 70000;
  LeafRun run(m, {});
  SerialExecutor executor;
  const auto analysis = run.method().Analyze(run.leaf(), 0, {}, executor);
  ASSERT_TRUE(analysis.ok()) << analysis.status();
  ReportFields report;
  const auto gate = run.method().Reduce(run.needs(), 0, {}, Grouped(analysis->stats), report);
  ASSERT_TRUE(gate.ok());
  std::vector<uint16_t> half(20);
  const absl::Status status = run.method().Apply(
      run.leaf(), *gate, analysis->keepsake,
      {reinterpret_cast<std::byte*>(half.data()), DType::kF16, 20}, report, executor);
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("element 13 "), HasSubstr("F16")));
}

}  // namespace
}  // namespace merganser
