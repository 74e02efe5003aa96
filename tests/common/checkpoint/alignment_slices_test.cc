// Outputs whose layers are put together from slices of models.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/checkpoint/alignment.h"
#include "tests/common/checkpoint/stage.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TinyCheckpoint Model(int layers, const std::string& config = R"({"model_type": "qwen2"})") {
  TinyCheckpoint tiny;
  tiny.config = config;
  // As safetensors files have them: sorted by name, the head first.
  tiny.tensors.push_back({"lm_head.weight", DType::kBF16, {8, 4}});
  tiny.tensors.push_back({"model.embed_tokens.weight", DType::kBF16, {8, 4}});
  for (int i = 0; i < layers; ++i) {
    tiny.tensors.push_back({absl::StrCat("model.layers.", i, ".mlp.weight"), DType::kBF16, {4, 4}});
    tiny.tensors.push_back({absl::StrCat("model.layers.", i, ".norm"), DType::kBF16, {4}});
  }
  tiny.tensors.push_back({"model.norm.weight", DType::kBF16, {4}});
  return tiny;
}

class SlicesTest : public ::testing::Test {
 protected:
  // Models are called m0, m1, ...
  absl::StatusOr<Alignment> Align(const std::vector<TinyCheckpoint>& models,
                                  const std::vector<LayerSlice>& slices, uint32_t reference = 0) {
    checkpoints_.clear();
    std::vector<const Checkpoint*> pointers;
    for (size_t i = 0; i < models.size(); ++i) {
      checkpoints_.push_back(
          std::make_unique<Checkpoint>(stage_.Make(absl::StrCat("m", ++count_), models[i])));
      checkpoints_.back()->given = absl::StrCat("m", i);
      pointers.push_back(checkpoints_.back().get());
    }
    AlignOptions options;
    options.reference = reference;
    return AlignModels(pointers, slices, options);
  }
  std::string Refusal(const std::vector<TinyCheckpoint>& models,
                      const std::vector<LayerSlice>& slices) {
    const auto alignment = Align(models, slices);
    EXPECT_EQ(alignment.status().code(), absl::StatusCode::kInvalidArgument) << alignment.status();
    return std::string(alignment.status().message());
  }
  // "model:name" of each source, as stored.
  std::vector<std::string> Stored(const AlignedTensor& aligned) {
    std::vector<std::string> found;
    for (const TensorSource& source : aligned.sources) {
      found.push_back(
          absl::StrCat(source.model, ":", checkpoints_[source.model]->tensors[source.tensor].name));
    }
    return found;
  }

  Stage stage_;
  int count_ = 0;
  std::vector<std::unique_ptr<Checkpoint>> checkpoints_;
};

TEST_F(SlicesTest, LayersAreNumberedAnewInOrder) {
  const auto alignment =
      Align({Model(3), Model(4)}, {{{{0, 1}, {1, 2}}, 2}, {{{1, 0}}, 1}, {{{0, 0}, {0, 2}}, 1}});
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_THAT(alignment->warnings, IsEmpty());
  const std::vector<AlignedTensor>& tensors = alignment->tensors;
  std::vector<std::string> names;
  for (const AlignedTensor& tensor : tensors) names.push_back(tensor.name);
  EXPECT_THAT(names, ElementsAre("model.embed_tokens.weight", "model.layers.0.mlp.weight",
                                 "model.layers.0.norm", "model.layers.1.mlp.weight",
                                 "model.layers.1.norm", "model.layers.2.mlp.weight",
                                 "model.layers.2.norm", "model.layers.3.mlp.weight",
                                 "model.layers.3.norm", "lm_head.weight", "model.norm.weight"));
  EXPECT_THAT(Stored(tensors[0]),
              ElementsAre("0:model.embed_tokens.weight", "1:model.embed_tokens.weight"));
  EXPECT_FALSE(tensors[0].layer.has_value());
  EXPECT_THAT(Stored(tensors[1]),
              ElementsAre("0:model.layers.1.mlp.weight", "1:model.layers.2.mlp.weight"));
  EXPECT_THAT(Stored(tensors[3]),
              ElementsAre("0:model.layers.2.mlp.weight", "1:model.layers.3.mlp.weight"));
  EXPECT_EQ(tensors[3].layer, 1u);
  EXPECT_EQ(tensors[3].layers, 2u);
  EXPECT_EQ(tensors[3].sources[1].name, "model.layers.3.mlp.weight");
  EXPECT_THAT(Stored(tensors[5]), ElementsAre("1:model.layers.0.mlp.weight"));
  EXPECT_EQ(tensors[5].slice, 1u);
  EXPECT_THAT(Stored(tensors[7]),
              ElementsAre("0:model.layers.0.mlp.weight", "0:model.layers.2.mlp.weight"));
  EXPECT_THAT(Stored(tensors[9]), ElementsAre("0:lm_head.weight", "0:lm_head.weight"));
  EXPECT_EQ(tensors[9].slice, 2u);
}

TEST_F(SlicesTest, WholeModelsKnowTheirLayersToo) {
  const auto alignment = Align({Model(3), Model(3)}, {});
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_FALSE(alignment->tensors[0].layer.has_value());
  EXPECT_EQ(alignment->tensors[6].name, "model.layers.2.mlp.weight");
  EXPECT_EQ(alignment->tensors[6].layer, 2u);
  EXPECT_EQ(alignment->tensors[6].layers, 3u);
  EXPECT_EQ(alignment->tensors[6].sources[1].name, "model.layers.2.mlp.weight");
}

TEST_F(SlicesTest, AnotherModelMayBeTheReference) {
  TinyCheckpoint other = Model(2);
  std::swap(other.tensors.front(), other.tensors.back());
  const auto alignment = Align({Model(2), other}, {}, 1);
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_EQ(alignment->tensors[0].name, "model.norm.weight");
  EXPECT_THAT(Stored(alignment->tensors[0]),
              ElementsAre("0:model.norm.weight", "1:model.norm.weight"));
}

TEST_F(SlicesTest, ATiedHeadBehindTheLayersIsFilledFromItsOwnModel) {
  const std::string tied = R"({"tie_word_embeddings": true})";
  TinyCheckpoint second = Model(2, tied);
  second.tensors.erase(second.tensors.begin());
  const auto alignment = Align({Model(2, R"({"tie_word_embeddings": false})"), second},
                               {{{{0, 0}}, 1}, {{{1, 1}}, 1}});
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  const AlignedTensor& head = alignment->tensors[5];
  EXPECT_EQ(head.name, "lm_head.weight");
  EXPECT_TRUE(head.tied);
  EXPECT_THAT(Stored(head), ElementsAre("1:model.embed_tokens.weight"));
  EXPECT_EQ(head.sources[0].name, "lm_head.weight");
}

TEST_F(SlicesTest, ExtrasAreThoseOfLayersThatWereAskedFor) {
  TinyCheckpoint more = Model(4);
  for (int i = 0; i < 4; ++i) {
    more.tensors.push_back({absl::StrCat("model.layers.", i, ".extra"), DType::kBF16, {4}});
  }
  more.tensors.push_back({"v_head.weight", DType::kBF16, {4}});
  const auto alignment = Align({Model(4), more}, {{{{0, 0}, {1, 1}}, 2}, {{{0, 2}}, 2}});
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_THAT(alignment->warnings,
              ElementsAre(AllOf(HasSubstr("dropped 2 tensors"), HasSubstr("layers.*.extra")),
                          HasSubstr("v_head")));
}

TEST_F(SlicesTest, LayersThatAreNotThereAreNamed) {
  EXPECT_THAT(Refusal({Model(3), Model(2)}, {{{{0, 0}, {1, 1}}, 2}}),
              AllOf(HasSubstr("model 'm1': found 2 layers of 'model.layers'"),
                    HasSubstr("expected at least 3 for layer_range [1, 3] of slices[0]")));
  TinyCheckpoint holed = Model(3);
  holed.tensors.erase(holed.tensors.begin() + 4);  // model.layers.1.mlp.weight
  EXPECT_THAT(Refusal({Model(3), holed}, {{{{0, 0}, {1, 1}}, 1}}),
              AllOf(HasSubstr("model 'm1': tensor 'model.layers.1.mlp.weight' is missing"),
                    HasSubstr("(tensor 'model.layers.0.mlp.weight')")));
}

TEST_F(SlicesTest, LayersMustFitTheReferencesConfig) {
  TinyCheckpoint wide = Model(3);
  wide.tensors[4].shape = {5, 4};
  EXPECT_THAT(Refusal({Model(3), wide}, {{{{0, 0}}, 1}, {{{1, 1}}, 1}}),
              AllOf(HasSubstr("model 'm1'"), HasSubstr("'model.layers.1.mlp.weight': found shape "
                                                       "[5, 4], expected [4, 4]")));
  EXPECT_THAT(Refusal({Model(3), wide}, {{{{0, 0}, {1, 1}}, 1}}), HasSubstr("found shape [5, 4]"));
}

TEST_F(SlicesTest, LayersBehindTheReferencesAreHeldAgainstItsOthers) {
  TinyCheckpoint deep = Model(4);
  deep.tensors[8].shape = {5, 4};
  EXPECT_THAT(Refusal({Model(2), deep}, {{{{0, 0}}, 1}, {{{1, 3}}, 1}}),
              AllOf(HasSubstr("model 'm1'"), HasSubstr("'model.layers.3.mlp.weight': found shape "
                                                       "[5, 4], expected [4, 4]")));
  TinyCheckpoint other = Model(4);
  other.tensors.push_back({"model.layers.3.gate.weight", DType::kBF16, {4, 4}});
  EXPECT_THAT(
      Refusal({Model(2), other}, {{{{0, 0}}, 1}, {{{1, 3}}, 1}}),
      AllOf(HasSubstr("'model.layers.3.gate.weight'"), HasSubstr("no layer of model 'm0'")));
  EXPECT_TRUE(Align({Model(2), Model(4)}, {{{{0, 0}}, 1}, {{{1, 3}}, 1}}).ok());
}

TEST_F(SlicesTest, ModelsMustHaveOneStackOfLayers) {
  TinyCheckpoint flat;
  flat.tensors = {{"a.weight", DType::kBF16, {4}}};
  EXPECT_THAT(Refusal({flat}, {{{{0, 0}}, 1}}),
              AllOf(HasSubstr("model 'm0': no tensor of"), HasSubstr("of a layer")));
  TinyCheckpoint two = Model(2);
  two.tensors.push_back({"visual.blocks.0.w", DType::kBF16, {4}});
  EXPECT_THAT(Refusal({two}, {{{{0, 0}}, 1}}),
              HasSubstr("found layers of 'model.layers', 'visual.blocks', expected one stack"));
  EXPECT_THAT(Refusal({Model(3, R"({"num_hidden_layers": 2, "num_nextn_predict_layers": 1})")},
                      {{{{0, 0}}, 2}}),
              AllOf(HasSubstr("'model.layers.2.mlp.weight'"), HasSubstr("multi-token prediction")));
}

}  // namespace
}  // namespace merganser
