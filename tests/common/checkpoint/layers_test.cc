#include "common/checkpoint/layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/common/checkpoint/stage.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(ParseLayer, FindsTheFirstNumberOfAStack) {
  struct Case {
    const char* name;
    const char* stack;
    uint64_t layer;
  };
  for (const Case& c : {Case{"model.layers.12.mlp.up_proj.weight", "model.layers", 12},
                        Case{"transformer.h.0.ln_1.weight", "transformer.h", 0},
                        Case{"visual.blocks.31.attn.qkv.bias", "visual.blocks", 31},
                        Case{"bert.encoder.layer.3.output", "bert.encoder.layer", 3},
                        Case{"encoder.block.1.layer.0.SelfAttention.q", "encoder.block", 1},
                        Case{"model.layers.4.mlp.experts.7.w1", "model.layers", 4},
                        Case{"h.5", "h", 5}, Case{"layers.x.layers.2.y", "layers.x.layers", 2}}) {
    const auto parsed = ParseLayer(c.name);
    ASSERT_TRUE(parsed.has_value()) << c.name;
    EXPECT_EQ(parsed->stack, c.stack);
    EXPECT_EQ(parsed->layer, c.layer);
  }
  for (const char* name :
       {"", "model.norm.weight", "model.layers", "model.layers.", "layers.12a.x", "mlayers.1.x",
        "model.experts.3.x", "layers.007.x", "layers.-1.x", "layers.12345678901.x", "12.layers"}) {
    EXPECT_FALSE(ParseLayer(name).has_value()) << name;
  }
}

TEST(WithLayer, ReplacesThatNumberAlone) {
  EXPECT_EQ(WithLayer("model.layers.9.mlp.experts.9.w", 10), "model.layers.10.mlp.experts.9.w");
  EXPECT_EQ(WithLayer("h.123", 0), "h.0");
  EXPECT_EQ(WithLayer("model.norm.weight", 3), "model.norm.weight");
}

TEST(IsBeforeLayers, KnowsEmbeddingsFromHeads) {
  for (const char* name :
       {"model.embed_tokens.weight", "transformer.wte.weight", "wpe.weight",
        "gpt_neox.embed_in.weight", "transformer.word_embeddings_layernorm.weight"}) {
    EXPECT_TRUE(IsBeforeLayers(name)) << name;
  }
  for (const char* name : {"model.norm.weight", "lm_head.weight", "embed_out.weight",
                           "transformer.ln_f.bias", "score.weight"}) {
    EXPECT_FALSE(IsBeforeLayers(name)) << name;
  }
}

TEST(CountLayers, LeavesOutLayersForMultiTokenPrediction) {
  Stage stage;
  const auto count = [&](const std::string& name, const std::string& config) {
    TinyCheckpoint tiny;
    tiny.config = config;
    for (const char* tensor : {"model.layers.0.w", "model.layers.2.w", "visual.blocks.7.w", "w"}) {
      tiny.tensors.push_back({tensor, DType::kBF16, {2}});
    }
    return CountLayers(stage.Make(name, tiny));
  };
  EXPECT_THAT(count("a", "{}"), ElementsAre(Pair("model.layers", 3), Pair("visual.blocks", 8)));
  EXPECT_THAT(count("b", R"({"num_hidden_layers": 2, "num_nextn_predict_layers": 1})"),
              ElementsAre(Pair("model.layers", 2), Pair("visual.blocks", 8)));
  EXPECT_THAT(count("c", R"({"text_config": {"num_hidden_layers": 2}})"),
              ElementsAre(Pair("model.layers", 3), Pair("visual.blocks", 8)));
}

}  // namespace
}  // namespace merganser
