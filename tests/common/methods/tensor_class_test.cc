#include "common/methods/tensor_class.h"

#include <gtest/gtest.h>

namespace merganser {
namespace {

TEST(TensorClassTest, EveryFamilyHasAName) {
  EXPECT_EQ(FamilyName(TensorFamily::kNorm), "norm");
  EXPECT_EQ(FamilyName(TensorFamily::kEmbedding), "embedding");
  EXPECT_EQ(FamilyName(TensorFamily::kAttention), "attention");
  EXPECT_EQ(FamilyName(TensorFamily::kFfn), "ffn");
  EXPECT_EQ(FamilyName(TensorFamily::kOther), "other");
}

TEST(TensorClassTest, VocabularySizedMatricesAreRecognised) {
  EXPECT_TRUE(LooksLikeVocabulary({"tok", {32000, 64}}));
  EXPECT_TRUE(LooksLikeVocabulary({"tok", {64, 151936}}));
  EXPECT_FALSE(LooksLikeVocabulary({"tok", {8192, 28672}}));
  EXPECT_FALSE(LooksLikeVocabulary({"tok", {151936}}));
  EXPECT_FALSE(LooksLikeVocabulary({"tok", {2, 151936, 8}}));
}

TEST(ScopeTest, GroupsOfEachScope) {
  const char* q = "model.layers.12.self_attn.q_proj.weight";
  EXPECT_EQ(ScopeGroup(q, TensorFamily::kAttention, Scope::kTensor), q);
  EXPECT_EQ(ScopeGroup(q, TensorFamily::kAttention, Scope::kLayer), "model.layers.12");
  EXPECT_EQ(ScopeGroup("visual.blocks.0.mlp.w1.weight", TensorFamily::kOther, Scope::kLayer),
            "visual.blocks.0");
  EXPECT_EQ(ScopeGroup("model.layers.3.mlp.experts.7.w2", TensorFamily::kOther, Scope::kLayer),
            "model.layers.3");
  EXPECT_EQ(ScopeGroup("conv1d.h2o.weight", TensorFamily::kOther, Scope::kLayer), "none");
  EXPECT_EQ(ScopeGroup("lm_head.weight", TensorFamily::kOther, Scope::kLayer), "none");
  EXPECT_EQ(ScopeGroup("0", TensorFamily::kOther, Scope::kLayer), "0");
  EXPECT_EQ(ScopeGroup(q, TensorFamily::kAttention, Scope::kFamily), "attention");
  EXPECT_EQ(ScopeGroup("lm_head.weight", TensorFamily::kOther, Scope::kModel), "model");
}

TEST(ScopeTest, Names) {
  EXPECT_EQ(ParseScope("tensor"), Scope::kTensor);
  EXPECT_EQ(ParseScope("layer"), Scope::kLayer);
  EXPECT_EQ(ParseScope("family"), Scope::kFamily);
  EXPECT_EQ(ParseScope("model"), Scope::kModel);
  EXPECT_EQ(ParseScope("Model"), std::nullopt);
}

}  // namespace
}  // namespace merganser
