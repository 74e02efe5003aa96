// What tensors of many architectures are, by their names in published checkpoints; and that of
// Llama-, Qwen- and Gemma-like models the classes are those of ResMerge's authors.
#include "common/methods/tensor_roles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/methods/release_roles.h"

namespace merganser {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr auto kNorm = TensorFamily::kNorm;
constexpr auto kEmbedding = TensorFamily::kEmbedding;
constexpr auto kAttention = TensorFamily::kAttention;
constexpr auto kFfn = TensorFamily::kFfn;
constexpr auto kOther = TensorFamily::kOther;

struct Role {
  std::string name;
  TensorFamily family;
};

void ExpectMatrices(const std::vector<Role>& roles, bool spectral) {
  for (const Role& role : roles) {
    const TensorSpec tensor{role.name, {32, 16}};
    EXPECT_EQ(RoleFamily(tensor), role.family)
        << role.name << " is " << FamilyName(RoleFamily(tensor));
    EXPECT_EQ(RoleMode(tensor, 1).spectral, spectral) << role.name;
    EXPECT_THAT(RoleMode(tensor, 1).reason, IsEmpty()) << role.name;
  }
}

TEST(TensorRolesTest, EmbeddingsAndHeadsUnderAnyName) {
  ExpectMatrices(
      {
          {"gpt_neox.embed_in.weight", kEmbedding},
          {"embed_out.weight", kEmbedding},
          {"shared.weight", kEmbedding},
          {"model.shared.weight", kEmbedding},
          {"backbone.embeddings.weight", kEmbedding},
          {"backbone.embedding.weight", kEmbedding},
          {"model.embeddings.tok_embeddings.weight", kEmbedding},
          {"tok_embeddings.weight", kEmbedding},
          {"text_model.embeddings.token_embedding.weight", kEmbedding},
          {"transformer.tokens_embed.weight", kEmbedding},
          {"transformer.embedding.word_embeddings.weight", kEmbedding},
          {"transformer.word_embedding.weight", kEmbedding},
          {"emb.weight", kEmbedding},
          {"rwkv.embeddings.weight", kEmbedding},
          {"model.embed_tokens_per_layer.weight", kEmbedding},
          {"decoder.embed_tokens.0.weight", kEmbedding},
          {"bert.embeddings.token_type_embeddings.weight", kEmbedding},
          {"semantic.input_embeds_layer.weight", kEmbedding},
          {"transformer.embedding.weight", kEmbedding},
          {"cls.predictions.decoder.weight", kEmbedding},
          {"decoder.weight", kEmbedding},
          {"lm_head.decoder.weight", kEmbedding},
          {"proj_out.weight", kEmbedding},
          {"output.weight", kEmbedding},
          {"transformer.output_layer.weight", kEmbedding},
          {"head.weight", kEmbedding},
          {"codec_head.weight", kEmbedding},
          {"roberta_prelayernorm.embeddings.word_embeddings.weight", kEmbedding},
          {"vocab_projector.weight", kEmbedding},
          {"score.weight", kEmbedding},
          {"classifier.weight", kEmbedding},
          {"model.layers.61.shared_head.head.weight", kEmbedding},
          {"codec_embeddings.3.weight", kEmbedding},
      },
      false);
}

TEST(TensorRolesTest, PositionTables) {
  ExpectMatrices(
      {
          {"transformer.wpe.weight", kEmbedding},
          {"transformer.positions_embed.weight", kEmbedding},
          {"vision_model.embeddings.position_embedding.weight", kEmbedding},
          {"bert.embeddings.position_embeddings.weight", kEmbedding},
          {"layoutlm.embeddings.x_position_embeddings.weight", kEmbedding},
          {"model.encoder.embed_positions.weight", kEmbedding},
          {"visual.pos_embed.weight", kEmbedding},
          {"vision_model.positional_embedding_vlm", kEmbedding},
          {"vision_model.gated_positional_embedding.embedding", kEmbedding},
          {"encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", kEmbedding},
          {"swin.encoder.layers.0.blocks.0.attention.self.relative_position_bias_table",
           kEmbedding},
          {"deberta.encoder.rel_embeddings.weight", kEmbedding},
          {"vision_encoder.layers.0.attn.rel_pos_h", kEmbedding},
          {"transformer.position_embeds_layer.weight", kEmbedding},
      },
      false);
}

TEST(TensorRolesTest, StateSpacesKeepTheirParameters) {
  ExpectMatrices(
      {
          {"backbone.layers.0.mixer.A_log", kOther},
          {"model.layers.0.mamba.A_log", kOther},
          {"model.layers.0.mamba.D", kOther},
          {"backbone.layers.0.mixer.D", kOther},
          {"model.layers.0.mamba.dt_bias", kOther},
          {"rwkv.blocks.0.attention.time_decay", kOther},
      },
      false);
  const TensorSpec kernel{"backbone.layers.0.mixer.conv1d.weight", {64, 1, 4}};
  EXPECT_FALSE(RoleMode(kernel, 1).spectral);
  EXPECT_THAT(RoleMode(kernel, 1).reason, HasSubstr("3-D"));
}

TEST(TensorRolesTest, WhateverMixesTokensIsAttention) {
  ExpectMatrices(
      {
          {"model.decoder.layers.0.encoder_attn.out_proj.weight", kAttention},
          {"model.layers.0.linear_attn.in_proj_qkvz.weight", kAttention},
          {"model.layers.0.linear_attn.in_proj_ba.weight", kAttention},
          {"model.layers.0.linear_attn.out_proj.weight", kAttention},
          {"transformer.h.0.attn.c_attn.weight", kAttention},
          {"attn.c_attn.weight", kAttention},
          {"roberta_prelayernorm.encoder.layer.0.attention.self.query.weight", kAttention},
          {"transformer.blocks.0.norm_attn_norm.attn.Wqkv.weight", kAttention},
          {"transformer.h.0.self_attention.query_key_value.weight", kAttention},
          {"gpt_neox.layers.0.attention.dense.weight", kAttention},
          {"bert.encoder.layer.0.attention.output.dense.weight", kAttention},
          {"bert.encoder.layer.0.crossattention.self.query.weight", kAttention},
          {"encoder.block.0.layer.0.SelfAttention.q.weight", kAttention},
          {"decoder.block.0.layer.1.EncDecAttention.o.weight", kAttention},
          {"layers.0.attention.wq.weight", kAttention},
          {"backbone.layers.0.mixer.in_proj.weight", kAttention},
          {"backbone.layers.0.mixer.x_proj.weight", kAttention},
          {"model.layers.0.mamba.dt_proj.weight", kAttention},
          {"model.layers.0.mamba.out_proj.weight", kAttention},
          {"model.layers.0.temporal_block.linear_x.weight", kAttention},
          {"model.layers.0.conv.in_proj.weight", kAttention},
          {"model.layers.0.conv.out_proj.weight", kAttention},
          {"blocks.0.att.receptance.weight", kAttention},
          {"transformer.resblocks.0.attn.in_proj_weight", kAttention},
      },
      true);
}

TEST(TensorRolesTest, WhateverWorksOnEachTokenIsFeedForward) {
  ExpectMatrices(
      {
          {"model.layers.0.block_sparse_moe.experts.0.w1.weight", kFfn},
          {"model.layers.0.block_sparse_moe.gate.weight", kFfn},
          {"model.layers.0.block_sparse_moe.router.layer.weight", kFfn},
          {"transformer.blocks.0.ffn.router.layer.weight", kFfn},
          {"transformer.blocks.0.ffn.experts.mlp.w1", kFfn},
          {"model.layers.0.moe.experts.3.linear_v.weight", kFfn},
          {"encoder.block.0.layer.1.DenseReluDense.wi.weight", kFfn},
          {"encoder.block.0.layer.1.DenseReluDense.wi_0.weight", kFfn},
          {"bert.encoder.layer.0.intermediate.dense.weight", kFfn},
          {"bert.encoder.layer.0.output.dense.weight", kFfn},
          {"lilt.encoder.layer.0.layout_intermediate.dense.weight", kFfn},
          {"roberta_prelayernorm.encoder.layer.0.output.dense.weight", kFfn},
          {"model.decoder.layers.0.fc1.weight", kFfn},
          {"model.encoder.layers.0.fc2.weight", kFfn},
          {"transformer.h.0.mlp.c_fc.weight", kFfn},
          {"transformer.h.0.mlp.dense_h_to_4h.weight", kFfn},
          {"transformer.blocks.0.ffn.up_proj.weight", kFfn},
          {"layers.0.feed_forward.w2.weight", kFfn},
          {"transformer.layer.0.ff.layer_1.weight", kFfn},
          {"model.layers.3.shared_mlp.input_linear.weight", kFfn},
          {"backbone.layers.1.mixer.experts.7.up_proj.weight", kFfn},
          {"backbone.layers.1.mixer.gate.weight", kFfn},
      },
      true);
}

TEST(TensorRolesTest, TheRestIsOther) {
  ExpectMatrices(
      {
          {"multi_modal_projector.linear_1.weight", kOther},
          {"bert.pooler.dense.weight", kOther},
          {"cls.predictions.transform.dense.weight", kOther},
          {"vision_model.embeddings.patch_embedding.weight", kOther},
          {"encoder.embedding_hidden_mapping_in.weight", kOther},
          {"model.mixer.weight", kOther},
          {"mtp.fc.weight", kOther},
          {"visual_projection.weight", kOther},
          {"x", kOther},
      },
      true);
  EXPECT_EQ(RoleFamily({"", {}}), kOther);
}

TEST(TensorRolesTest, NormsStayNorms) {
  ExpectMatrices(
      {
          {"model.norm.weight", kNorm},
          {"model.layers.0.mlp.normalizer.weight", kNorm},
          {"transformer.layers.0.norm1.linear.weight", kNorm},
          {"transformer.blocks.0.norm_attn_norm.norm_1.weight", kNorm},
      },
      false);
  EXPECT_EQ(RoleFamily({"model.layers.0.post_attention_layernorm.weight", {16}}), kNorm);
  EXPECT_EQ(RoleFamily({"transformer.h.3.ln_1.weight", {16}}), kNorm);
}

TEST(TensorRolesTest, FusedExpertsUnderAnyName) {
  for (const char* name :
       {"model.layers.0.block_sparse_moe.input_linear.weight",
        "model.layers.0.block_sparse_moe.output_linear.weight",
        "model.layers.1.mlp.input_linear.weight", "model.layers.0.mlp.experts.gate_up_proj",
        "model.layers.0.feed_forward.experts.down_proj", "model.layers.0.mlp.EXPERTS.down_proj",
        "transformer.blocks.0.ffn.experts.mlp.w2", "model.layers.0.moe.up_proj.weight",
        "model.layers.0.mlp.fused"}) {
    const TensorSpec tensor{name, {3, 24, 16}};
    EXPECT_EQ(RoleFamily(tensor), kFfn) << name;
    EXPECT_TRUE(IsFusedExperts(tensor)) << name;
    EXPECT_EQ(RoleMode(tensor, 1).split, Split::kMatrices) << name;
  }
  // Experts of attention.
  const TensorSpec attention{"model.layers.0.self_attention.experts.input_linear.weight",
                             {3, 24, 16}};
  EXPECT_EQ(RoleFamily(attention), kAttention);
  EXPECT_TRUE(RoleMode(attention, 1).spectral);
  // No name tells, but a router does.
  TensorSpec told{"model.layers.0.blob.weight", {3, 24, 16}};
  EXPECT_FALSE(RoleMode(told, 1).spectral);
  told.hints.experts = true;
  EXPECT_EQ(RoleFamily(told), kFfn);
  EXPECT_TRUE(RoleMode(told, 1).spectral);
}

TEST(TensorRolesTest, WhatElseHasThreeDimensionsIsNoExperts) {
  for (const TensorSpec& tensor :
       std::vector<TensorSpec>{{"model.layers.0.mlp.experts.gate_up_proj_bias", {3, 24, 16}},
                               {"encoder.layers.0.conv_module.pointwise_conv1.weight", {64, 32, 1}},
                               {"encoder.layers.0.feed_forward.conv_1.weight", {64, 32, 32}},
                               {"encoder.layers.0.feed_forward.w_1.weight", {64, 32, 3}},
                               {"vit.embeddings.position_embeddings", {1, 197, 64}},
                               {"vit.embeddings.cls_token", {1, 1, 64}},
                               {"model.layers.0.rel_attn.q", {64, 16, 16}},
                               {"model.layers.0.mlp.experts.weight", {2, 3, 24, 16}}}) {
    EXPECT_FALSE(RoleMode(tensor, 1).spectral) << tensor.name;
    EXPECT_FALSE(IsFusedExperts(tensor)) << tensor.name;
  }
}

TEST(TensorRolesTest, AVocabularyTellsByItsSize) {
  EXPECT_EQ(RoleFamily({"to_tokens", {151936, 64}}), kEmbedding);
  EXPECT_EQ(RoleFamily({"model.layers.0.wide", {151936, 64}}), kOther);
  TensorSpec small{"to_words.weight", {40, 16}};
  EXPECT_EQ(RoleFamily(small), kOther);
  small.hints.vocabulary = true;
  EXPECT_EQ(RoleFamily(small), kEmbedding);
  EXPECT_FALSE(RoleMode(small, 1).spectral);
}

TEST(TensorRolesTest, WhereNoResidualWouldBeLeftTheReasonIsTold) {
  EXPECT_THAT(RoleMode({"model.layers.0.self_attn.q_proj.weight", {4, 64}}, 4).reason,
              HasSubstr("rank_topk 4"));
  EXPECT_THAT(RoleMode({"visual.patch_embed.proj.weight", {64, 3, 14, 14}}, 1).reason,
              HasSubstr("4-D"));
}

// Models of these families have the same classes with and without `roles: release`.
TEST(TensorRolesTest, OfLlamaQwenAndGemmaTheClassesAreTheAuthors) {
  const std::vector<TensorSpec> tensors = {
      {"model.embed_tokens.weight", {64, 32}},
      {"lm_head.weight", {64, 32}},
      {"model.norm.weight", {32}},
      {"model.layers.0.input_layernorm.weight", {32}},
      {"model.layers.0.post_attention_layernorm.weight", {32}},
      {"model.layers.0.pre_feedforward_layernorm.weight", {32}},
      {"model.layers.0.post_feedforward_layernorm.weight", {32}},
      {"model.layers.0.self_attn.q_proj.weight", {32, 32}},
      {"model.layers.0.self_attn.q_proj.bias", {32}},
      {"model.layers.0.self_attn.k_proj.weight", {16, 32}},
      {"model.layers.0.self_attn.v_proj.weight", {16, 32}},
      {"model.layers.0.self_attn.o_proj.weight", {32, 32}},
      {"model.layers.0.self_attn.q_norm.weight", {8}},
      {"model.layers.0.self_attn.k_norm.weight", {8}},
      {"model.layers.0.self_attn.qkv_proj.weight", {64, 32}},
      {"model.layers.0.self_attn.rotary_emb.inv_freq", {4}},
      {"model.layers.0.mlp.gate_proj.weight", {48, 32}},
      {"model.layers.0.mlp.up_proj.weight", {48, 32}},
      {"model.layers.0.mlp.down_proj.weight", {32, 48}},
      {"model.layers.0.mlp.gate_up_proj.weight", {96, 32}},
      // Qwen's mixtures of experts.
      {"model.layers.0.mlp.gate.weight", {8, 32}},
      {"model.layers.0.mlp.shared_expert_gate.weight", {1, 32}},
      {"model.layers.0.mlp.shared_expert.up_proj.weight", {48, 32}},
      {"model.layers.0.mlp.experts.7.down_proj.weight", {32, 48}},
      {"model.layers.0.mlp.experts.gate_up_proj", {8, 96, 32}},
      {"model.layers.0.mlp.experts.down_proj", {8, 32, 48}},
      // Gemma 3n's language model.
      {"model.embed_tokens_per_layer.weight", {64, 32}},
      {"model.per_layer_model_projection.weight", {64, 32}},
      {"model.layers.0.per_layer_input_gate.weight", {16, 32}},
      {"model.layers.0.laurel.linear_left.weight", {16, 32}},
      {"model.layers.0.altup.prediction_coefs.weight", {16, 4}},
      {"model.layers.0.altup.modality_router.weight", {16, 32}},
      {"model.altup_projections.0.weight", {32, 32}},
      // With eyes.
      {"model.visual.blocks.0.attn.qkv.weight", {96, 32}},
      {"model.visual.blocks.0.mlp.gate_proj.weight", {48, 32}},
      {"model.visual.merger.mlp.0.weight", {32, 32}},
      {"model.visual.merger.ln_q.weight", {32}},
      {"model.visual.patch_embed.proj.weight", {32, 3, 2, 14, 14}},
      {"multi_modal_projector.linear_1.weight", {32, 32}},
  };
  for (const TensorSpec& tensor : tensors) {
    for (const int rank : {1, 8}) {
      const SpectralMode own = RoleMode(tensor, rank), release = ReleaseMode(tensor, rank);
      EXPECT_EQ(own.spectral, release.spectral) << tensor.name;
      EXPECT_EQ(own.split, release.split) << tensor.name;
      EXPECT_EQ(own.reason, release.reason) << tensor.name;
    }
    EXPECT_EQ(RoleFamily(tensor), ReleaseFamily(tensor.name)) << tensor.name;
  }
}

}  // namespace
}  // namespace merganser
