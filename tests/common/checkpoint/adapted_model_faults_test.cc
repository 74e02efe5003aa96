// Adapters that do not fit a model, and those that fit in part: what is refused and what is warned
// of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "common/checkpoint/adapted_model.h"
#include "tests/common/checkpoint/adapted_model_fixture.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(AdaptedModelTest, PairsWhoseParameterNothingTells) {
  TinyCheckpoint tiny;
  tiny.tensors = {{"model.layers.0.experts.this", DType::kF32, {3, 8, 5}},
                  {"model.layers.0.experts.that", DType::kF32, {3, 8, 5}}};
  base_ = stage_.Make("moe", tiny);
  auto tensors = Pair("model.layers.0.experts.base_layer", {6, 5}, {8, 6});
  for (auto& more : Pair("model.layers.0.experts", {6, 5}, {8, 6})) tensors.push_back(more);
  EXPECT_THAT(
      Refused(stage_.WriteAdapter(
          "x", tensors, R"("r": 2, "target_parameters": ["experts.this", "experts.that"])")),
      HasSubstr("do not tell which"));
}

TEST_F(AdaptedModelTest, DoraCannotBeAdded) {
  auto tensors = Pair(kQ, {2, 6}, {4, 2});
  const std::string plain = stage_.WriteAdapter("plain", tensors);
  tensors.push_back({std::string(kQ) + ".lora_magnitude_vector", {4}});
  const std::string dora = stage_.WriteAdapter("dora", tensors, R"("r": 2, "use_dora": true)");
  for (const auto& both : {std::vector<std::pair<std::string, double>>{{plain, 1}, {dora, 1}},
                           std::vector<std::pair<std::string, double>>{{dora, 1}, {plain, 1}}}) {
    const auto model = stage_.Adapted(base_, both);
    EXPECT_THAT(std::string(model.status().message()), HasSubstr("which cannot be added"));
  }
}

TEST_F(AdaptedModelTest, NamesThatFitTwoPartsAlikeAreRefused) {
  TinyCheckpoint tiny;
  tiny.tensors = {{"actor.layers.0.self_attn.q_proj.weight", DType::kF32, {4, 6}},
                  {"critic.layers.0.self_attn.q_proj.weight", DType::kF32, {4, 6}}};
  base_ = stage_.Make("two", tiny);
  EXPECT_THAT(Refused(stage_.WriteAdapter("x", Pair(kQ, {2, 6}, {4, 2}))),
              AllOf(HasSubstr("'actor.layers.0"), HasSubstr("'critic.layers.0")));
  // Shapes may tell.
  tiny.tensors[1].shape = {5, 6};
  base_ = stage_.Make("told", tiny);
  EXPECT_TRUE(Good(stage_.WriteAdapter("y", Pair(kQ, {2, 6}, {4, 2})))
                  .Find("actor.layers.0.self_attn.q_proj.weight")
                  ->update.has_value());
}

TEST_F(AdaptedModelTest, AdaptersThatDoNotFit) {
  // Of another base.
  EXPECT_THAT(Refused(stage_.WriteAdapter("a", Pair(kQ, {2, 8}, {4, 2}))),
              AllOf(HasSubstr("q_proj.lora_A.weight' of [2, 8]"),
                    HasSubstr("'model.layers.0.self_attn.q_proj.weight' of [4, 6]"),
                    HasSubstr("is this the base that the adapter was trained on?")));
  // A rank that the configuration does not say.
  EXPECT_THAT(Refused(stage_.WriteAdapter("b", Pair(kQ, {3, 6}, {4, 3}))),
              AllOf(HasSubstr("which are of rank 3"), HasSubstr("expected rank 2")));
  EXPECT_THAT(Refused(stage_.WriteAdapter("b2", Pair(kQ, {2, 6}, {4, 2}),
                                          R"("r": 2, "rank_pattern": {"q_proj": 4})")),
              HasSubstr("expected rank 4"));
  // Ranks of the two factors.
  EXPECT_THAT(Refused(stage_.WriteAdapter("c", Pair(kQ, {2, 6}, {4, 3}))),
              HasSubstr("expected the factors of"));
  // A partner that is missing.
  EXPECT_THAT(Refused(stage_.WriteAdapter("d", {{std::string(kQ) + ".lora_A.weight", {2, 6}}})),
              HasSubstr("found no lora_B"));
  EXPECT_THAT(Refused(stage_.WriteAdapter("e", {{std::string(kQ) + ".lora_B.weight", {4, 2}}})),
              HasSubstr("found no lora_A"));
  // Keys that match nothing.
  EXPECT_THAT(Refused(stage_.WriteAdapter("f", Pair("model.layers.0.mlp.up", {2, 6}, {4, 2}))),
              AllOf(HasSubstr("matches no tensor of the base 'base'"),
                    HasSubstr("'model.layers.0.mlp.up.weight'")));
  EXPECT_THAT(
      Refused(stage_.WriteAdapter("g", Pair("model.layers.9.self_attn.q_proj", {2, 6}, {4, 2}))),
      HasSubstr("the base has 1 layers"));
  EXPECT_THAT(Refused(stage_.WriteAdapter("h", {{"score.weight", {2, 6}}})),
              HasSubstr("a head that the base does not have"));
  // What ZeRO-3 leaves.
  EXPECT_THAT(Refused(stage_.WriteAdapter("i", Pair(kQ, {0}, {0}))),
              AllOf(HasSubstr("found shape [0]"), HasSubstr("DeepSpeed")));
  EXPECT_THAT(Refused(stage_.WriteAdapter("j", Pair(kQ, {0, 6}, {4, 0}))), HasSubstr("[0, 6]"));
  // Another kind of adapter.
  EXPECT_THAT(Refused(stage_.WriteAdapter("k", {{std::string(kQ) + ".lora_E", {2, 1}}})),
              HasSubstr("of a kind that is not supported"));
  // Two adapters in one file.
  auto two = Pair(kQ, {2, 6}, {4, 2});
  two[0].first = std::string(kQ) + ".lora_A.math.weight";
  two[1].first = std::string(kQ) + ".lora_B.code.weight";
  EXPECT_THAT(Refused(stage_.WriteAdapter("l", two)),
              HasSubstr("several adapters ('code', 'math')"));
}

TEST_F(AdaptedModelTest, TheFirstFaultsAreNamedAndTheOthersCounted) {
  std::vector<std::pair<std::string, Shape>> tensors;
  for (int i = 0; i < 5; ++i) {
    for (auto& one : Pair(absl::StrCat("model.layers.0.none", i), {2, 6}, {4, 2})) {
      tensors.push_back(one);
    }
  }
  EXPECT_THAT(Refused(stage_.WriteAdapter("x", tensors)), HasSubstr("; and 2 more"));
}

TEST_F(AdaptedModelTest, WhatTheConfigurationAsksFor) {
  const auto q = Pair(kQ, {2, 6}, {4, 2});
  // A name that serves nothing.
  EXPECT_THAT(Refused(stage_.WriteAdapter("a", q, R"("r": 2, "target_modules": ["q_proj", "zz"])")),
              AllOf(HasSubstr("target_modules names 'zz'"), HasSubstr("serves no tensor")));
  // A name of which the file lost everything.
  EXPECT_THAT(
      Refused(stage_.WriteAdapter("b", q, R"("r": 2, "target_modules": ["q_proj", "v_proj"])")),
      AllOf(HasSubstr("found nothing of 'v_proj'"), HasSubstr("was the adapter saved whole?")));
  // Some of its modules.
  TinyCheckpoint tiny = Base();
  tiny.tensors.push_back({"model.layers.1.self_attn.q_proj.weight", DType::kF32, {4, 6}});
  base_ = stage_.Make("two", tiny);
  const Checkpoint part =
      Good(stage_.WriteAdapter("c", q, R"("r": 2, "target_modules": ["q_proj"])"));
  EXPECT_THAT(part.notes, ElementsAre(HasSubstr("1 of 2 modules")));
  EXPECT_THAT(part.warnings, ElementsAre(AllOf(HasSubstr("found nothing of 1 modules"),
                                               HasSubstr("'model.layers.1.self_attn.q_proj'"))));
  // Layers that were not chosen.
  int count = 0;
  for (const std::string chosen :
       {R"("layers_to_transform": [0])", R"("layers_to_transform": 0, "layers_pattern": "layers")",
        R"("exclude_modules": ["layers.1.self_attn.q_proj"])"}) {
    const Checkpoint layer = Good(stage_.WriteAdapter(
        absl::StrCat("d", count++), q, R"("r": 2, "target_modules": ["q_proj"], )" + chosen));
    EXPECT_THAT(layer.notes, ElementsAre(HasSubstr("1 of 1 module")));
    EXPECT_THAT(layer.warnings, IsEmpty());
  }
}

TEST_F(AdaptedModelTest, ExpertsThatTheAdapterSawPackedAreNoLoss) {
  TinyCheckpoint tiny = Base();
  tiny.tensors.push_back({"model.layers.0.mlp.experts.0.up_proj.weight", DType::kF32, {4, 6}});
  base_ = stage_.Make("moe", tiny);
  const Checkpoint model = Good(stage_.WriteAdapter(
      "x", Pair(kQ, {2, 6}, {4, 2}), R"("r": 2, "target_modules": ["q_proj", "up_proj"])"));
  EXPECT_THAT(model.notes, ElementsAre(HasSubstr("1 of 1 module")));
  EXPECT_THAT(model.warnings, ElementsAre(HasSubstr("within experts alone")));
}

TEST_F(AdaptedModelTest, AnotherBaseIsAWarningWhereNamesTell) {
  const auto warnings = [&](const std::string& named, const std::string& base) {
    base_.given = base;
    base_.uri = "/somewhere/" + base;
    static int count = 0;
    return Good(stage_.WriteAdapter(absl::StrCat("x", count++), Pair(kQ, {2, 6}, {4, 2}),
                                    R"("r": 2, "base_model_name_or_path": ")" + named + "\""))
        .warnings;
  };
  EXPECT_THAT(warnings("Qwen/Qwen2.5-7B", "mistral-7b-v0.3"),
              ElementsAre(AllOf(HasSubstr("'Qwen/Qwen2.5-7B'"), HasSubstr("'mistral-7b-v0.3'"))));
  for (const auto& [named, base] : std::vector<std::pair<std::string, std::string>>{
           {"Qwen/Qwen2.5-7B", "qwen2.5-7b"},
           {"/home/them/models/Qwen2.5-7B", "qwen2.5_7b"},
           {"unsloth/qwen2.5-7b-unsloth-bnb-4bit", "Qwen2.5-7B"},
           {"/cache/models--Qwen--Qwen2.5-7B/snapshots/0a1b2c3d4e", "Qwen2.5-7B"},
           {"/workspace/checkpoint-500", "mistral-7b"},
           {"Qwen/Qwen2.5-7B", "base"},
           {"", "mistral-7b"}}) {
    EXPECT_THAT(warnings(named, base), IsEmpty()) << named << " on " << base;
  }
}

}  // namespace
}  // namespace merganser
