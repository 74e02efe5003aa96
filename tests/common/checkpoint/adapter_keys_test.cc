// Keys of adapters in whatever wrapping they are stored.
#include "common/checkpoint/adapter_keys.h"

#include <gtest/gtest.h>

#include <string>

namespace merganser {
namespace {

constexpr char kModule[] = "model.layers.0.self_attn.q_proj";

TEST(AdapterKeys, WrappersOfTrainersAreNoPartOfTheName) {
  for (const char* prefix :
       {"", "base_model.model.", "module.base_model.model.", "_orig_mod.base_model.model.",
        "base_model.model._orig_mod.", "base_model.model.base_model.model.",
        "_fsdp_wrapped_module.base_model.model.", "base_model.model.module."}) {
    const AdapterKey key = ParseAdapterKey(std::string(prefix) + kModule + ".lora_A.weight");
    EXPECT_EQ(key.role, AdapterRole::kA) << prefix;
    EXPECT_EQ(key.name, kModule) << prefix;
    EXPECT_EQ(key.adapter, "") << prefix;
  }
  EXPECT_EQ(ParseAdapterKey("model.layers.0._checkpoint_wrapped_module.mlp.lora_B.weight").name,
            "model.layers.0.mlp");
}

TEST(AdapterKeys, EveryRole) {
  const std::string module = std::string("base_model.model.") + kModule;
  const auto role = [&](const std::string& rest) { return ParseAdapterKey(module + rest).role; };
  EXPECT_EQ(role(".lora_A.default.weight"), AdapterRole::kA);
  EXPECT_EQ(role(".lora_B.weight"), AdapterRole::kB);
  EXPECT_EQ(role(".lora_B.bias"), AdapterRole::kBiasB);
  EXPECT_EQ(role(".lora_A.bias"), AdapterRole::kUnknown);
  EXPECT_EQ(role(".lora_embedding_A"), AdapterRole::kEmbeddingA);
  EXPECT_EQ(role(".lora_embedding_B.default"), AdapterRole::kEmbeddingB);
  EXPECT_EQ(role(".lora_magnitude_vector"), AdapterRole::kMagnitude);
  EXPECT_EQ(role(".lora_magnitude_vector.default.weight"), AdapterRole::kMagnitude);
  EXPECT_EQ(role(".lora_diag.weight"), AdapterRole::kUnknown);
  EXPECT_EQ(role(".weight"), AdapterRole::kWhole);
  EXPECT_EQ(role(".original_module.weight"), AdapterRole::kOriginal);
}

TEST(AdapterKeys, AdaptersAreNamed) {
  EXPECT_EQ(ParseAdapterKey("q.lora_A.default.weight").adapter, "default");
  EXPECT_EQ(ParseAdapterKey("q.lora_embedding_A.math").adapter, "math");
}

TEST(AdapterKeys, TensorsThatAreBroughtWhole) {
  for (const char* key :
       {"base_model.model.lm_head.weight", "base_model.model.lm_head.modules_to_save.weight",
        "base_model.model.lm_head.modules_to_save.default.weight",
        "base_model.model.lm_head.base_layer.weight"}) {
    EXPECT_EQ(ParseAdapterKey(key).role, AdapterRole::kWhole) << key;
    EXPECT_EQ(ParseAdapterKey(key).name, "lm_head.weight") << key;
  }
}

TEST(AdapterKeys, ParametersOfOneModuleAreTheDeeperTheFirst) {
  const AdapterKey outer = ParseAdapterKey("base_model.model.mlp.experts.lora_A.weight");
  const AdapterKey inner = ParseAdapterKey("base_model.model.mlp.experts.base_layer.lora_A.weight");
  EXPECT_EQ(outer.name, inner.name);
  EXPECT_EQ(outer.depth, 0u);
  EXPECT_EQ(inner.depth, 1u);
}

}  // namespace
}  // namespace merganser
