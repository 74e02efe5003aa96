#include "common/methods/model_structure.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace merganser {
namespace {

class ModelStructureTest : public ::testing::Test {
 protected:
  TensorHints Of(const std::string& name) {
    const ModelStructure structure(tensors_, vocabularies_);
    for (const TensorSpec& tensor : tensors_) {
      if (tensor.name == name) return structure.HintsFor(tensor);
    }
    ADD_FAILURE() << "no " << name;
    return {};
  }

  std::vector<TensorSpec> tensors_;
  std::vector<uint64_t> vocabularies_;
};

TEST_F(ModelStructureTest, AVocabularysSideOutsideOfLayersTells) {
  tensors_ = {{"words.weight", {40, 16}}, {"back.weight", {16, 40}},   {"square.weight", {40, 40}},
              {"other.weight", {41, 16}}, {"layers.0.wide", {40, 16}}, {"words.bias", {40}},
              {"stack", {2, 40, 16}}};
  EXPECT_FALSE(Of("words.weight").vocabulary);  // nothing tells yet
  vocabularies_ = {40};
  EXPECT_TRUE(Of("words.weight").vocabulary);
  EXPECT_TRUE(Of("back.weight").vocabulary);
  EXPECT_FALSE(Of("square.weight").vocabulary);
  EXPECT_FALSE(Of("other.weight").vocabulary);
  EXPECT_FALSE(Of("layers.0.wide").vocabulary);
  EXPECT_FALSE(Of("words.bias").vocabulary);
  EXPECT_FALSE(Of("stack").vocabulary);
}

TEST_F(ModelStructureTest, AKnownEmbeddingTellsTheVocabulary) {
  tensors_ = {{"model.embed_tokens.weight", {40, 16}}, {"words.weight", {40, 16}}};
  EXPECT_TRUE(Of("words.weight").vocabulary);
}

TEST_F(ModelStructureTest, ARouterTellsOfExperts) {
  tensors_ = {{"layers.0.a", {4, 24, 16}}, {"layers.0.r.weight", {4, 16}},
              {"layers.1.a", {4, 24, 16}}, {"layers.1.r.weight", {5, 16}},
              {"layers.2.a", {4, 24, 16}}, {"layers.2.r.weight", {16, 4}},
              {"layers.3.a", {24, 24, 3}}, {"layers.3.q.weight", {24, 24}}};
  EXPECT_TRUE(Of("layers.0.a").experts);
  EXPECT_FALSE(Of("layers.1.a").experts);
  EXPECT_TRUE(Of("layers.2.a").experts);
  EXPECT_FALSE(Of("layers.3.a").experts);  // the kernel of a convolution
  EXPECT_FALSE(Of("layers.0.r.weight").experts);
}

TEST_F(ModelStructureTest, ABiasTellsWhichSideIsOutput) {
  // GPT-2: stored [in, out]; its square matrix is as the others are.
  tensors_ = {{"h.0.attn.c_attn.weight", {16, 48}}, {"h.0.attn.c_attn.bias", {48}},
              {"h.0.attn.c_proj.weight", {16, 16}}, {"h.0.attn.c_proj.bias", {16}},
              {"h.0.mlp.c_fc.weight", {16, 64}},    {"h.0.mlp.c_fc.bias", {64}},
              {"h.0.mlp.c_proj.weight", {64, 16}},  {"h.0.mlp.c_proj.bias", {16}}};
  for (const char* name : {"h.0.attn.c_attn.weight", "h.0.attn.c_proj.weight",
                           "h.0.mlp.c_fc.weight", "h.0.mlp.c_proj.weight"}) {
    EXPECT_TRUE(Of(name).transposed) << name;
  }
  EXPECT_FALSE(Of("h.0.attn.c_attn.bias").transposed);
  // GPTBigCode has the same names over [out, in].
  tensors_ = {{"h.0.attn.c_attn.weight", {20, 16}}, {"h.0.attn.c_attn.bias", {20}},
              {"h.0.attn.c_proj.weight", {16, 16}}, {"h.0.attn.c_proj.bias", {16}},
              {"h.0.mlp.c_fc.weight", {64, 16}},    {"h.0.mlp.c_fc.bias", {64}}};
  for (const char* name :
       {"h.0.attn.c_attn.weight", "h.0.attn.c_proj.weight", "h.0.mlp.c_fc.weight"}) {
    EXPECT_FALSE(Of(name).transposed) << name;
  }
}

TEST_F(ModelStructureTest, FusedExpertsLayoutByBiasOrRouter) {
  // gpt-oss, of which `down` is square.
  tensors_ = {{"layers.0.mlp.router.weight", {4, 16}},
              {"layers.0.mlp.experts.gate_up_proj", {4, 16, 32}},
              {"layers.0.mlp.experts.gate_up_proj_bias", {4, 32}},
              {"layers.0.mlp.experts.down_proj", {4, 16, 16}},
              {"layers.0.mlp.experts.down_proj_bias", {4, 16}},
              {"layers.0.self_attn.q_proj.weight", {32, 16}},
              {"layers.0.self_attn.q_proj.bias", {32}},
              {"layers.0.self_attn.o_proj.weight", {16, 16}},
              {"layers.0.self_attn.o_proj.bias", {16}}};
  EXPECT_TRUE(Of("layers.0.mlp.experts.gate_up_proj").transposed);
  EXPECT_TRUE(Of("layers.0.mlp.experts.down_proj").transposed);
  EXPECT_FALSE(Of("layers.0.self_attn.q_proj.weight").transposed);
  EXPECT_FALSE(Of("layers.0.self_attn.o_proj.weight").transposed);
  // Llama 4 has no biases: the router's side is the hidden one.
  tensors_ = {{"layers.0.feed_forward.router.weight", {4, 16}},
              {"layers.0.feed_forward.experts.gate_up_proj", {4, 16, 40}},
              {"layers.0.feed_forward.experts.down_proj", {4, 20, 16}}};
  EXPECT_TRUE(Of("layers.0.feed_forward.experts.gate_up_proj").transposed);
  EXPECT_TRUE(Of("layers.0.feed_forward.experts.down_proj").transposed);
  // Granite stores [experts, out, in].
  tensors_ = {{"layers.0.block_sparse_moe.router.layer.weight", {4, 16}},
              {"layers.0.block_sparse_moe.input_linear.weight", {4, 40, 16}},
              {"layers.0.block_sparse_moe.output_linear.weight", {4, 16, 20}}};
  EXPECT_FALSE(Of("layers.0.block_sparse_moe.input_linear.weight").transposed);
  EXPECT_FALSE(Of("layers.0.block_sparse_moe.output_linear.weight").transposed);
}

}  // namespace
}  // namespace merganser
