#include "common/publish/low_rank.h"

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/prepare/prepare.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/tiny_checkpoint.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int kLayers = 4;
constexpr size_t kRows = 24, kCols = 20;

class LowRankTest : public ::testing::Test {
 protected:
  // The base, changed in the first `changed` layers by `rank` directions.
  void Write(const std::string& name, int changed, size_t rank, DType dtype = DType::kF32) {
    TinyCheckpoint model;
    std::minstd_rand base(1), own(static_cast<uint32_t>(name.size() + name.back()));
    std::normal_distribution<double> normal;
    for (int layer = 0; layer < kLayers; ++layer) {
      std::vector<double> values(kRows * kCols);
      for (double& value : values) value = normal(base);
      for (size_t k = 0; layer < changed && k < rank; ++k) {
        std::vector<double> u(kRows), v(kCols);
        for (double& x : u) x = 0.3 * normal(own);
        for (double& x : v) x = normal(own);
        for (size_t i = 0; i < values.size(); ++i) values[i] += u[i / kCols] * v[i % kCols];
      }
      model.tensors.push_back({absl::StrCat("model.layers.", layer, ".mlp.up_proj.weight"),
                               dtype,
                               {kRows, kCols},
                               EncodeTiny(dtype, values)});
    }
    ASSERT_TRUE(WriteTinyCheckpoint(model, dir_.File(name)).ok());
  }

  Plan PlanFor(const std::vector<std::string>& experts, int rank_topk = 1,
               const std::string& method = "resmerge") {
    std::string recipe = absl::StrCat("merge_method: ", method, "\nbase_model: base\nmodels:\n");
    for (const std::string& expert : experts) absl::StrAppend(&recipe, "  - model: ", expert, "\n");
    if (method == "resmerge")
      absl::StrAppend(&recipe, "parameters: {rank_topk: ", rank_topk, "}\n");
    auto prepared = PrepareMerge(recipe, "recipe.yaml",
                                 {std::filesystem::path(dir_.File("base")).parent_path()}, stores_);
    EXPECT_TRUE(prepared.ok()) << prepared.status();
    return prepared.ok() ? std::move(prepared->plan) : Plan();
  }

  TempDir dir_;
  Stores stores_;
};

TEST_F(LowRankTest, SamplesTellOfMergedAdapters) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Write("base", 0, 0, dtype);
    Write("adapter", 2, 1, dtype);
    Write("full", kLayers, kCols, dtype);
    EXPECT_THAT(LowRankExperts(PlanFor({"adapter", "full"}), stores_),
                ElementsAre(AllOf(HasSubstr("adapter, 2 of 2 samples"), Not(HasSubstr("full,")),
                                  HasSubstr("task_arithmetic"))));
    EXPECT_THAT(LowRankExperts(PlanFor({"full"}), stores_), IsEmpty());
  }
}

TEST_F(LowRankTest, RankTopkDrawsTheLine) {
  Write("base", 0, 0);
  Write("three", kLayers, 3);
  EXPECT_THAT(LowRankExperts(PlanFor({"three"}, 2), stores_), IsEmpty());
  EXPECT_THAT(LowRankExperts(PlanFor({"three"}, 3), stores_),
              ElementsAre(HasSubstr("a smaller rank_topk")));
  EXPECT_THAT(LowRankExperts(PlanFor({"three"}, 3, "task_arithmetic"), stores_), IsEmpty());
}

TEST_F(LowRankTest, WhatHasNotChangedOrCannotBeReadIsNotSuspected) {
  Write("base", 0, 0);
  Write("same", 0, 0);
  Write("adapter", 2, 1);
  EXPECT_THAT(LowRankExperts(PlanFor({"same"}), stores_), IsEmpty());
  const Plan plan = PlanFor({"adapter"});
  std::filesystem::remove(dir_.File("adapter") + "/model.safetensors");
  EXPECT_THAT(LowRankExperts(plan, stores_), IsEmpty());
}

UnitResult Measured(uint32_t tensor, std::vector<double> residuals, std::vector<double> heads) {
  UnitResult result;
  result.leaves.push_back(
      {tensor,
       0,
       {{"residual_norm", std::move(residuals), true}, {"head_norm", std::move(heads), true}}});
  return result;
}

TEST_F(LowRankTest, MeasurementsReplaceSamples) {
  Write("base", 0, 0);
  Write("adapter", kLayers, 1);
  Write("full", kLayers, kCols);
  Plan plan = PlanFor({"adapter", "full"});
  plan.warnings = {"another"};
  for (std::string& warning : LowRankExperts(plan, stores_)) {
    plan.warnings.push_back(std::move(warning));
  }
  ASSERT_EQ(plan.warnings.size(), 2U);
  // Nothing was measured: what the samples told stands.
  EXPECT_EQ(WarningsOf(plan, {}), plan.warnings);
  EXPECT_THAT(WarningsOf(plan, {Measured(0, {0.001, 1}, {1, 1}), Measured(1, {0, 1}, {1, 1}),
                                Measured(2, {1, 1}, {1, 1}), Measured(3, {0, 0}, {0, 0})}),
              ElementsAre("another", AllOf(HasSubstr("adapter, 2 of 3 changed matrices"),
                                           Not(HasSubstr("full,")))));
  EXPECT_THAT(WarningsOf(plan, {Measured(0, {0.001, 1}, {1, 1}), Measured(1, {1, 1}, {1, 1}),
                                Measured(2, {1, 1}, {1, 1})}),
              ElementsAre("another"));
  EXPECT_THAT(CardWarnings(plan, {Measured(0, {0, 1}, {1, 1})}),
              ElementsAre(HasSubstr("adapter, 1 of 1")));
}

}  // namespace
}  // namespace merganser
