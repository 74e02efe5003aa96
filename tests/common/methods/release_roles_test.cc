#include "common/methods/release_roles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace merganser {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

struct FamilyCase {
  std::string name;
  TensorFamily family;
};

TEST(ReleaseRolesTest, FamilyIsTheFirstMatchOfTheLowerCasedName) {
  const std::vector<FamilyCase> cases = {
      // Norms come first, whatever else the name holds.
      {"model.norm.weight", TensorFamily::kNorm},
      {"model.layers.0.input_layernorm.weight", TensorFamily::kNorm},
      {"model.layers.0.self_attn.q_norm.weight", TensorFamily::kNorm},
      {"transformer.h.3.ln_1.weight", TensorFamily::kNorm},
      {"model.LayerNorm.weight", TensorFamily::kNorm},
      {"model.layers.0.mlp.normalizer", TensorFamily::kNorm},
      {"word_embeddings_layernorm.weight", TensorFamily::kNorm},
      // Embeddings and heads before attention and ffn.
      {"model.embed_tokens.weight", TensorFamily::kEmbedding},
      {"transformer.wte.weight", TensorFamily::kEmbedding},
      {"lm_head.weight", TensorFamily::kEmbedding},
      {"LM_HEAD.WEIGHT", TensorFamily::kEmbedding},
      {"bert.word_embeddings.weight", TensorFamily::kEmbedding},
      {"mlp.lm_head.weight", TensorFamily::kEmbedding},
      {"transformer.wpe.weight", TensorFamily::kOther},
      // Attention before ffn.
      {"model.layers.0.self_attn.q_proj.weight", TensorFamily::kAttention},
      {"transformer.h.0.attn.c_attn.weight", TensorFamily::kAttention},
      {"attn.c_attn.weight", TensorFamily::kOther},  // ".attn." wants both dots
      {"encoder.ATTENTION.query.weight", TensorFamily::kAttention},
      {"visual.blocks.0.k_proj.weight", TensorFamily::kAttention},
      {"v_proj.weight", TensorFamily::kAttention},
      {"o_proj.bias", TensorFamily::kAttention},
      {"mlp.q_proj.weight", TensorFamily::kAttention},
      // Ffn, routers and experts among it.
      {"model.layers.0.mlp.gate_proj.weight", TensorFamily::kFfn},
      {"model.layers.0.mlp.gate.weight", TensorFamily::kFfn},
      {"model.layers.0.mlp.experts.7.up_proj.weight", TensorFamily::kFfn},
      {"model.layers.0.feed_forward.w1.weight", TensorFamily::kFfn},
      {"blk.0.ffn_down.weight", TensorFamily::kFfn},
      {"down_proj", TensorFamily::kFfn},
      {"model.layers.0.block_sparse_moe.gate.weight", TensorFamily::kOther},
      {"visual.patch_embed.proj.weight", TensorFamily::kOther},
      {"", TensorFamily::kOther},
  };
  for (const FamilyCase& c : cases) {
    EXPECT_EQ(ReleaseFamily(c.name), c.family)
        << c.name << " is " << FamilyName(ReleaseFamily(c.name));
  }
}

struct ModeCase {
  TensorSpec tensor;
  int rank_topk;
  bool spectral;
  Split split;
  std::string reason;  // part of it; empty: none
};

TEST(ReleaseRolesTest, SpectralModeFollowsNameAndShape) {
  const std::vector<ModeCase> cases = {
      {{"model.layers.0.self_attn.q_proj.weight", {64, 64}}, 1, true, Split::kWhole, ""},
      {{"model.layers.0.mlp.gate.weight", {128, 2048}}, 1, true, Split::kWhole, ""},
      {{"some.other.matrix", {3, 2}}, 1, true, Split::kWhole, ""},
      // By name: mean without a remark, nobody expects these to be spectral.
      {{"model.embed_tokens.weight", {1000, 64}}, 1, false, Split::kElements, ""},
      {{"LM_Head.Weight", {1000, 64}}, 1, false, Split::kElements, ""},
      {{"model.norm.weight", {64, 64}}, 1, false, Split::kElements, ""},
      {{"model.layers.0.mlp.experts.layernorm", {4, 64, 64}}, 1, false, Split::kElements, ""},
      {{"scalar", {}}, 1, false, Split::kElements, ""},
      {{"model.layers.0.self_attn.q_proj.bias", {64}}, 1, false, Split::kElements, ""},
      {{"model.layers.0.mlp.relative_Bias", {64, 64}}, 1, false, Split::kElements, ""},
      {{"model.layers.0.mlp.bias.weight", {64, 64}}, 1, true, Split::kWhole, ""},
      // By shape: the residual would be empty.
      {{"a.q_proj.weight", {1, 64}}, 1, false, Split::kElements, "smaller side, 1,"},
      {{"a.q_proj.weight", {64, 1}}, 1, false, Split::kElements, "smaller side, 1,"},
      {{"a.q_proj.weight", {64, 4}}, 4, false, Split::kElements, "rank_topk 4"},
      {{"a.q_proj.weight", {64, 5}}, 4, true, Split::kWhole, ""},
      {{"a.q_proj.weight", {0, 64}}, 1, false, Split::kElements, "smaller side, 0,"},
      // Fused experts, matrix by matrix.
      {{"model.layers.0.mlp.experts.gate_up_proj", {8, 64, 32}}, 1, true, Split::kMatrices, ""},
      {{"model.layers.0.mlp.EXPERTS.down_proj", {8, 64, 32}}, 1, true, Split::kMatrices, ""},
      {{"mlp.experts.gate_up_proj", {8, 64, 2}}, 2, false, Split::kElements, "rank_topk 2"},
      // One matrix a model: the number of experts does not matter.
      {{"mlp.experts.gate_up_proj", {1, 64, 32}}, 1, true, Split::kMatrices, ""},
      {{"mlp.experts.gate_up_proj_bias", {8, 64}}, 1, false, Split::kElements, ""},
      {{"model.layers.0.mlp.fused", {8, 64, 32}}, 1, false, Split::kElements, "3-D"},
      {{"mlp.experts.weight", {2, 8, 64, 32}}, 1, false, Split::kElements, "4-D"},
      {{"visual.patch_embed.proj.weight", {64, 3, 14, 14}}, 1, false, Split::kElements, "4-D"},
      {{"mamba.conv1d.weight", {64, 1, 4}}, 1, false, Split::kElements, "3-D"},
  };
  for (const ModeCase& c : cases) {
    const SpectralMode mode = ReleaseMode(c.tensor, c.rank_topk);
    EXPECT_EQ(mode.spectral, c.spectral) << c.tensor.name;
    EXPECT_EQ(mode.split, c.split) << c.tensor.name;
    if (c.reason.empty()) {
      EXPECT_THAT(mode.reason, IsEmpty()) << c.tensor.name;
    } else {
      EXPECT_THAT(mode.reason, HasSubstr(c.reason)) << c.tensor.name;
    }
  }
}

}  // namespace
}  // namespace merganser
