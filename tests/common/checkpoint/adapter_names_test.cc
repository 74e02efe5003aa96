#include "common/checkpoint/adapter_names.h"

#include "gtest/gtest.h"

namespace merganser {
namespace {

TEST(NameAdapterTensor, FactorsAreCalledByTheirModule) {
  const auto a =
      NameAdapterTensor("base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight");
  EXPECT_EQ(a.name, "model.layers.3.self_attn.q_proj");
  EXPECT_TRUE(a.is_a);
  EXPECT_FALSE(a.embedding || a.whole || a.within);
  const auto b = NameAdapterTensor("module.base_model.model.h.0.c_attn.lora_B.default.weight");
  EXPECT_EQ(b.name, "h.0.c_attn");
  EXPECT_FALSE(b.is_a || b.embedding || b.whole || b.within);
}

TEST(NameAdapterTensor, EmbeddingsAndNestedParametersAreTold) {
  const auto embedding = NameAdapterTensor("base_model.model.model.embed_tokens.lora_embedding_A");
  EXPECT_EQ(embedding.name, "model.embed_tokens");
  EXPECT_TRUE(embedding.embedding && embedding.is_a);
  EXPECT_FALSE(NameAdapterTensor("base_model.model.embed.lora_embedding_B").is_a);
  const auto nested =
      NameAdapterTensor("base_model.model.layers.0.mlp.experts.base_layer.lora_A.weight");
  EXPECT_EQ(nested.name, "layers.0.mlp.experts");
  EXPECT_TRUE(nested.within);
}

TEST(NameAdapterTensor, WholeTensorsKeepTheirOwnName) {
  for (const char* key :
       {"base_model.model.lm_head.weight", "base_model.model.lm_head.modules_to_save.weight",
        "base_model.model.lm_head.modules_to_save.default.weight"}) {
    const auto head = NameAdapterTensor(key);
    EXPECT_EQ(head.name, "lm_head.weight") << key;
    EXPECT_TRUE(head.whole) << key;
  }
}

}  // namespace
}  // namespace merganser
