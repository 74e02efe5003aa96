// What the planner makes of recipe and headers: modes, dtypes, sources, warnings.
#include "common/plan/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/common/plan/plan_fixture.h"

namespace merganser {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST(PlanTest, KeepsTheReferencesOrder) {
  const auto plan = PlanOf(
      kResMerge,
      FakeModels({{"z", DType::kBF16, {4}}, {"a", DType::kBF16, {4}}, {"m", DType::kBF16, {4}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_THAT(plan->tensors, SizeIs(3));
  EXPECT_EQ(plan->tensors[0].spec.name, "z");
  EXPECT_EQ(plan->tensors[1].spec.name, "a");
  EXPECT_EQ(plan->tensors[2].spec.name, "m");
  EXPECT_TRUE(plan->has_base);
  ASSERT_THAT(plan->models, SizeIs(3));
  EXPECT_EQ(plan->models[0].uri, "/models/base");
  EXPECT_EQ(plan->models[2].given, "b");
  EXPECT_EQ(plan->recipe_text, kResMerge);
}

TEST(PlanTest, SourcesNameModelShardAndOffset) {
  const std::vector<FakeTensor> tensors = {{"a.q_proj", DType::kBF16, {8, 8}},
                                           {"b.q_proj", DType::kF32, {4, 4}}};
  // Experts store the same tensors in another order, dtype and number of files.
  std::vector<Checkpoint> models = {FakeCheckpoint("base", tensors)};
  models.push_back(FakeCheckpoint("a", {tensors[1], tensors[0]}));
  models.push_back(FakeCheckpoint(
      "b", {{"a.q_proj", DType::kF16, {8, 8}}, {"b.q_proj", DType::kBF16, {4, 4}}}, 2));
  const auto plan = PlanOf(kResMerge, models);
  ASSERT_TRUE(plan.ok()) << plan.status();
  const PlannedTensor& tensor = plan->tensors[1];
  ASSERT_THAT(tensor.sources, SizeIs(3));
  for (uint32_t m = 0; m < 3; ++m) {
    const CheckpointTensor& stored = *models[m].Find("b.q_proj");
    EXPECT_EQ(tensor.sources[m].model, m);
    EXPECT_EQ(tensor.sources[m].shard, stored.shard);
    EXPECT_EQ(tensor.sources[m].offset, stored.offset);
    EXPECT_EQ(tensor.sources[m].dtype, stored.dtype);
    EXPECT_EQ(tensor.sources[m].tensor, "b.q_proj");
  }
  EXPECT_EQ(tensor.sources[2].shard, 1u);
  EXPECT_TRUE(tensor.has_base_source);
}

TEST(PlanTest, TheBaseIsNotReadWhereTheMethodDoesNotNeedIt) {
  const auto plan = PlanOf(kResMerge, FakeModels({{"model.norm.weight", DType::kBF16, {100}},
                                                  {"a.q_proj", DType::kBF16, {10, 10}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_FALSE(plan->tensors[0].has_base_source);
  ASSERT_THAT(plan->tensors[0].sources, SizeIs(2));
  EXPECT_EQ(plan->tensors[0].sources[0].model, 1u);
  EXPECT_TRUE(plan->tensors[1].has_base_source);
  EXPECT_THAT(plan->tensors[1].sources, SizeIs(3));
  EXPECT_EQ(plan->bytes_read, 2u * 200 + 3u * 200);
}

TEST(PlanTest, AMethodWithoutBaseReadsEveryModel) {
  const auto plan = PlanOf(kLinear, FakeModels({{"w", DType::kBF16, {100}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_FALSE(plan->has_base);
  EXPECT_FALSE(plan->tensors[0].has_base_source);
  EXPECT_THAT(plan->tensors[0].sources, SizeIs(3));
  EXPECT_EQ(plan->bytes_read, 600u);
}

TEST(PlanTest, IntegersAndBoolAreCopiedFromOneModel) {
  const auto plan = PlanOf(
      With(kResMerge, "out_dtype: float32"),
      FakeModels({{"model.norm.position_ids", DType::kI64, {10}}, {"mask", DType::kBool, {3, 3}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  for (const PlannedTensor& tensor : plan->tensors) {
    EXPECT_EQ(tensor.needs.mode, "copy");
    EXPECT_EQ(tensor.needs.rounds, 0);
    EXPECT_THAT(tensor.sources, SizeIs(1));
    EXPECT_EQ(tensor.sources[0].model, 0u);
  }
  EXPECT_EQ(plan->tensors[0].dtype, DType::kI64);
  EXPECT_EQ(plan->tensors[1].dtype, DType::kBool);
  EXPECT_EQ(plan->bytes_read, 80u + 9);
}

TEST(PlanTest, OutputDTypeIsTheBasesOwnWhereTheRecipeIsSilent) {
  std::vector<Checkpoint> models = {
      FakeCheckpoint("base", {{"v", DType::kF16, {4}}, {"w", DType::kF64, {4}}})};
  for (const char* name : {"a", "b"}) {
    models.push_back(FakeCheckpoint(name, {{"v", DType::kF32, {4}}, {"w", DType::kBF16, {4}}}));
  }
  const auto plan = PlanOf(kResMerge, models);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->tensors[0].dtype, DType::kF16);
  EXPECT_EQ(plan->tensors[1].dtype, DType::kF64);
}

TEST(PlanTest, OutDTypeComesBeforeDType) {
  const std::vector<Checkpoint> models = FakeModels({{"w", DType::kF32, {4}}});
  EXPECT_EQ(PlanOf(With(kResMerge, "dtype: float16"), models)->tensors[0].dtype, DType::kF16);
  EXPECT_EQ(PlanOf(With(With(kResMerge, "dtype: float16"), "out_dtype: bfloat16"), models)
                ->tensors[0]
                .dtype,
            DType::kBF16);
}

TEST(PlanTest, WhatTheBaseKeepsInF32AmongBf16StaysF32) {
  const std::vector<FakeTensor> mixed = {{"w", DType::kBF16, {1000}},
                                         {"router.bias", DType::kF32, {8}},
                                         {"position_ids", DType::kI64, {4000}}};
  for (const char* out : {"bfloat16", "float16"}) {
    const auto plan = PlanOf(With(kResMerge, std::string("out_dtype: ") + out), FakeModels(mixed));
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_EQ(TensorOf(*plan, "router.bias").dtype, DType::kF32) << out;
    EXPECT_EQ(BytesPerElement(TensorOf(*plan, "w").dtype), 2u) << out;
  }
  const auto wide = PlanOf(With(kResMerge, "out_dtype: float64"), FakeModels(mixed));
  EXPECT_EQ(TensorOf(*wide, "router.bias").dtype, DType::kF64);
  EXPECT_EQ(TensorOf(*wide, "w").dtype, DType::kF64);
}

TEST(PlanTest, ABaseOfF32FollowsOutDType) {
  const auto plan = PlanOf(With(kResMerge, "out_dtype: bfloat16"),
                           FakeModels({{"w", DType::kF32, {1000}}, {"v", DType::kBF16, {8}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(TensorOf(*plan, "w").dtype, DType::kBF16);
}

TEST(PlanTest, ATiedHeadIsReadFromTheEmbedding) {
  const std::vector<FakeTensor> both = {{"model.embed_tokens.weight", DType::kBF16, {32, 8}},
                                        {"lm_head.weight", DType::kBF16, {32, 8}}};
  std::vector<Checkpoint> models = {FakeCheckpoint("base", both), FakeCheckpoint("a", {both[0]}),
                                    FakeCheckpoint("b", both)};
  models[1].config.tie_stated = models[1].config.tie_word_embeddings = true;
  const auto plan = PlanOf(kTaskArithmetic, models);
  ASSERT_TRUE(plan.ok()) << plan.status();
  const PlannedTensor& head = TensorOf(*plan, "lm_head.weight");
  EXPECT_TRUE(head.tied);
  EXPECT_EQ(head.sources[1].tensor, "model.embed_tokens.weight");
  EXPECT_EQ(head.sources[1].offset, models[1].tensors[0].offset);
  EXPECT_EQ(head.sources[2].tensor, "lm_head.weight");
  EXPECT_FALSE(TensorOf(*plan, "model.embed_tokens.weight").tied);
}

TEST(PlanTest, WarnsOfDroppedTensorsAndModelsAndModes) {
  const std::vector<FakeTensor> tensors = {
      {"visual.patch_embed.proj.weight", DType::kBF16, {8, 3, 2, 2}},
      {"a.q_proj", DType::kBF16, {1, 8}}};
  std::vector<Checkpoint> models = FakeModels(tensors);
  std::vector<FakeTensor> more = tensors;
  more.push_back({"v_head.weight", DType::kBF16, {1, 8}});
  models[2] = FakeCheckpoint("b", more);
  const auto plan = PlanOf(With(kResMerge, "parameters: {int8_mask: true}"), models);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(plan->notes, Contains(HasSubstr("int8_mask")));
  EXPECT_THAT(plan->warnings, Contains(AllOf(HasSubstr("v_head"), HasSubstr("dropped"))));
  EXPECT_THAT(plan->warnings,
              Contains(AllOf(HasSubstr("visual.patch_embed.proj.weight"), HasSubstr("4-D"))));
  EXPECT_THAT(plan->warnings, Contains(AllOf(HasSubstr("a.q_proj"), HasSubstr("rank_topk"))));
}

TEST(PlanTest, AnOrdinaryModelHasNoWarnings) {
  const auto plan = PlanOf(
      kResMerge, FakeModels({{"model.embed_tokens.weight", DType::kBF16, {151936, 64}},
                             {"model.layers.0.self_attn.q_proj.weight", DType::kBF16, {64, 64}},
                             {"model.layers.0.self_attn.q_proj.bias", DType::kBF16, {64}},
                             {"model.layers.0.mlp.gate_proj.weight", DType::kBF16, {53248, 64}},
                             {"model.norm.weight", DType::kBF16, {64}},
                             {"lm_head.weight", DType::kBF16, {151936, 64}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(plan->warnings, IsEmpty());
}

TEST(PlanTest, ModelsThatDoNotFitAreRefusedBeforePlanning) {
  std::vector<Checkpoint> models = FakeModels({{"w", DType::kBF16, {4}}});
  models[2] = FakeCheckpoint("b", {{"w", DType::kBF16, {5}}});
  const auto plan = PlanOf(kResMerge, models);
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace merganser
