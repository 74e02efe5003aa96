// Tensors that some models have and others lack.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "common/checkpoint/alignment.h"
#include "tests/common/checkpoint/stage.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kConfig[] = R"({"model_type": "tiny", "num_hidden_layers": 2})";

std::vector<TinyTensor> Body(int layers = 2) {
  std::vector<TinyTensor> tensors = {{"model.embed_tokens.weight", DType::kBF16, {8, 4}}};
  for (int i = 0; i < layers; ++i) {
    for (const char* name : {".mlp.weight", ".attn.q.weight", ".norm.weight"}) {
      tensors.push_back({absl::StrCat("model.layers.", i, name), DType::kBF16, {4, 4}});
    }
  }
  return tensors;
}

std::vector<TinyTensor> With(std::vector<TinyTensor> tensors, const std::vector<TinyTensor>& more) {
  tensors.insert(tensors.end(), more.begin(), more.end());
  return tensors;
}

TinyTensor Some(const std::string& name) { return {name, DType::kBF16, {4}}; }

class MissingTensorsTest : public ::testing::Test {
 protected:
  // Models are called m0, m1, ...; the first is the reference.
  absl::StatusOr<Alignment> Align(const std::vector<std::vector<TinyTensor>>& models,
                                  bool is_base = true, const std::string& config = kConfig) {
    checkpoints_.clear();
    std::vector<const Checkpoint*> pointers;
    for (size_t i = 0; i < models.size(); ++i) {
      TinyCheckpoint tiny;
      tiny.tensors = models[i];
      tiny.config = config;
      checkpoints_.push_back(
          std::make_unique<Checkpoint>(stage_.Make(absl::StrCat("m", ++count_), tiny)));
      checkpoints_.back()->given = absl::StrCat("m", i);
      pointers.push_back(checkpoints_.back().get());
    }
    AlignOptions options;
    options.is_base = is_base;
    return AlignModels(pointers, {}, options);
  }
  std::string Refusal(const std::vector<std::vector<TinyTensor>>& models, bool is_base = true,
                      const std::string& config = kConfig) {
    const auto alignment = Align(models, is_base, config);
    EXPECT_EQ(alignment.status().code(), absl::StatusCode::kInvalidArgument) << alignment.status();
    return std::string(alignment.status().message());
  }
  static const AlignedTensor& Of(const Alignment& alignment, const std::string& name) {
    for (const AlignedTensor& tensor : alignment.tensors) {
      if (tensor.name == name) return tensor;
    }
    ADD_FAILURE() << "no tensor " << name;
    return alignment.tensors.at(0);
  }

  Stage stage_;
  int count_ = 0;
  std::vector<std::unique_ptr<Checkpoint>> checkpoints_;
};

TEST_F(MissingTensorsTest, WhatTheBaseAloneHasIsCopied) {
  const auto base =
      With(Body(), {Some("mtp.fc.weight"), Some("mtp.layers.0.w"), Some("mtp.layers.1.w")});
  const auto alignment = Align({base, Body(), Body()});
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  ASSERT_EQ(alignment->tensors.size(), base.size());
  for (const char* name : {"mtp.fc.weight", "mtp.layers.0.w", "mtp.layers.1.w"}) {
    const AlignedTensor& copied = Of(*alignment, name);
    EXPECT_TRUE(copied.copied) << name;
    ASSERT_EQ(copied.sources.size(), 1u);
    EXPECT_EQ(copied.sources[0].model, 0u);
    EXPECT_EQ(checkpoints_[0]->tensors[copied.sources[0].tensor].name, name);
  }
  EXPECT_FALSE(alignment->tensors[0].copied);
  EXPECT_THAT(alignment->warnings,
              ElementsAre(AllOf(HasSubstr("copied 3 tensors"), HasSubstr("model 'm0'"),
                                HasSubstr("1 'mtp.fc.weight', 2 'mtp.layers.*.w'"))));
}

TEST_F(MissingTensorsTest, LayersForMultiTokenPredictionAreAKindOfTheirOwn) {
  constexpr char kNext[] = R"({"num_hidden_layers": 2, "num_nextn_predict_layers": 1})";
  const auto alignment = Align({Body(3), Body(2)}, true, kNext);
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_TRUE(Of(*alignment, "model.layers.2.mlp.weight").copied);
  EXPECT_FALSE(Of(*alignment, "model.layers.1.mlp.weight").copied);
  EXPECT_THAT(Refusal({Body(3), Body(2)}), HasSubstr("2 of 3 such tensors"));
}

TEST_F(MissingTensorsTest, WithoutABaseOnlyBuffersAreForgiven) {
  EXPECT_THAT(Refusal({With(Body(), {Some("mtp.fc.weight")}), Body()}, false),
              AllOf(HasSubstr("'mtp.fc.weight' is missing"), HasSubstr("base_model")));
  const std::vector<TinyTensor> buffers = {
      {"model.layers.0.attn.rotary_emb.inv_freq", DType::kF32, {2}},
      {"model.layers.0.attn.bias", DType::kF32, {1, 1, 4, 4}},
      {"model.layers.0.attn.masked_bias", DType::kF32, {}},
      {"model.embeddings.position_ids", DType::kI64, {1, 4}},
      {"gpt_neox.layers.0.attention.bias", DType::kBool, {1, 1, 4, 4}}};
  for (const bool is_base : {false, true}) {
    // Also where only some models lack them.
    const auto alignment =
        Align({With(Body(), buffers), Body(), With(Body(), {buffers[0], buffers[3]})}, is_base);
    ASSERT_TRUE(alignment.ok()) << alignment.status();
    for (const TinyTensor& buffer : buffers) {
      EXPECT_TRUE(Of(*alignment, buffer.name).copied) << buffer.name;
      EXPECT_EQ(Of(*alignment, buffer.name).sources.size(), 1u);
    }
    EXPECT_THAT(alignment->warnings, ElementsAre(HasSubstr("copied 5 tensors")));
  }
  // A bias that is called as a mask is.
  EXPECT_THAT(Refusal({With(Body(), {Some("h.0.attn.bias")}), Body()}, false),
              HasSubstr("attn.bias'"));
}

TEST_F(MissingTensorsTest, WhoLacksAWholeKindCountsAsUnchanged) {
  const auto more = With(Body(), {Some("visual.blocks.0.w"), Some("visual.blocks.1.w")});
  const auto alignment = Align({more, Body(), more});
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  const AlignedTensor& tensor = Of(*alignment, "visual.blocks.1.w");
  EXPECT_FALSE(tensor.copied);
  ASSERT_EQ(tensor.sources.size(), 3u);
  EXPECT_EQ(tensor.sources[0].model, 0u);
  EXPECT_EQ(tensor.sources[1].model, 0u);
  EXPECT_EQ(tensor.sources[1].stands_for, 1u);
  EXPECT_EQ(checkpoints_[0]->tensors[tensor.sources[1].tensor].name, "visual.blocks.1.w");
  EXPECT_EQ(tensor.sources[2].model, 2u);
  EXPECT_THAT(alignment->warnings,
              ElementsAre(AllOf(HasSubstr("model 'm1': lacks 2 tensors"), HasSubstr("unchanged"),
                                HasSubstr("2 'visual.blocks.*.w'"))));
}

TEST_F(MissingTensorsTest, WhoLacksAPartOfAKindHasLostIt) {
  const auto more = With(Body(), {Some("mtp.layers.0.w"), Some("mtp.layers.1.w")});
  const auto part = With(Body(), {Some("mtp.layers.0.w")});
  EXPECT_THAT(Refusal({more, part}),
              AllOf(HasSubstr("model 'm1': tensor 'mtp.layers.1.w' is missing"),
                    HasSubstr("1 of 2 such tensors"), HasSubstr("lost")));
  EXPECT_THAT(Refusal({more, Body(), part}), HasSubstr("model 'm2'"));
}

TEST_F(MissingTensorsTest, ATensorThatMayBeRenamedIsNotTakenFromTheBase) {
  EXPECT_THAT(
      Refusal({With(Body(), {Some("mtp.norm.weight")}), With(Body(), {Some("next.norm.weight")})}),
      AllOf(HasSubstr("'mtp.norm.weight' is missing"), HasSubstr("'next.norm.weight'")));
}

TEST_F(MissingTensorsTest, PackedWeightsAreNotTakenFromTheBase) {
  std::vector<TinyTensor> packed = {{"model.embed_tokens.weight", DType::kBF16, {8, 4}}};
  for (int i = 0; i < 2; ++i) {
    for (const char* name : {".mlp.weight", ".norm.weight"}) {
      packed.push_back({absl::StrCat("model.layers.", i, name), DType::kBF16, {4, 4}});
    }
    packed.push_back({absl::StrCat("model.layers.", i, ".attn.qkv.weight"), DType::kBF16, {12, 4}});
  }
  EXPECT_THAT(Refusal({Body(), packed}),
              AllOf(HasSubstr("'model.layers.0.attn.q.weight' is missing"),
                    HasSubstr("'model.layers.0.attn.qkv.weight'"), HasSubstr("packed")));
  // A buffer that the base lacks says nothing.
  const auto more = With(Body(), {Some("model.layers.0.extra.bias")});
  const auto other = With(Body(), {{"model.layers.0.rotary.inv_freq", DType::kF32, {2}}});
  EXPECT_TRUE(Align({more, other}).ok());
}

TEST_F(MissingTensorsTest, NoModelDoesWithoutItsEmbeddingOrHead) {
  const auto untied = With(Body(), {{"lm_head.weight", DType::kBF16, {8, 4}}});
  constexpr char kUntied[] = R"({"model_type": "llama", "tie_word_embeddings": false})";
  EXPECT_THAT(Refusal({untied, Body()}, true, kUntied),
              AllOf(HasSubstr("'lm_head.weight' is missing"), HasSubstr("embedding and head")));
}

TEST_F(MissingTensorsTest, AModelThatLacksNearlyEverythingIsRefused) {
  EXPECT_THAT(Refusal({Body(), {{"model.embed_tokens.weight", DType::kBF16, {8, 4}}}}),
              HasSubstr("lacks 6 of 7 tensors"));
}

TEST_F(MissingTensorsTest, ManyKindsAreCounted) {
  std::vector<TinyTensor> base = Body();
  for (int i = 0; i < 6; ++i) base.push_back(Some(absl::StrCat("mtp.k", i)));
  for (int i = 0; i < 30; ++i) {
    base.push_back({absl::StrCat("rotary", i, ".inv_freq"), DType::kF32, {2}});
  }
  const auto alignment = Align({base, Body()});
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_THAT(alignment->warnings,
              ElementsAre(AllOf(HasSubstr("copied 36 tensors"), HasSubstr("and 28 more kinds"))));
}

}  // namespace
}  // namespace merganser
