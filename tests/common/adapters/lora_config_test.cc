#include "common/adapters/lora_config.h"

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace merganser {
namespace {

using Json = nlohmann::json;

Json Written(const LoraConfig& config) { return Json::parse(LoraConfigJson(config)); }

TEST(LoraConfigJson, TheCommonRankIsR) {
  LoraConfig config;
  config.modules = {{"a.q", LoraLayer::kLinear, 4},
                    {"a.k", LoraLayer::kLinear, 2},
                    {"a.v", LoraLayer::kLinear, 4}};
  const Json json = Written(config);
  EXPECT_EQ(json["r"], 4);
  EXPECT_EQ(json["lora_alpha"], 4);
  EXPECT_EQ(json["rank_pattern"], (Json{{"a.k", 2}}));
  EXPECT_EQ(json["alpha_pattern"], json["rank_pattern"]);
  EXPECT_EQ(json["target_modules"], (Json{"a.q", "a.k", "a.v"}));
  EXPECT_TRUE(json["exclude_modules"].is_null());
  EXPECT_TRUE(json["modules_to_save"].is_null());
  EXPECT_TRUE(json["task_type"].is_null());
  EXPECT_EQ(json["fan_in_fan_out"], false);
}

TEST(LoraConfigJson, NamesThatEndOthersAreToldApart) {
  LoraConfig config;
  config.modules = {{"x.q", LoraLayer::kLinear, 1},
                    {"tower.x.q", LoraLayer::kLinear, 2},
                    {"y.q", LoraLayer::kLinear, 2}};
  config.others = {"other.y.q", "ay.q", "y.qq"};
  const Json json = Written(config);
  EXPECT_EQ(json["r"], 2);
  EXPECT_EQ(json["rank_pattern"], (Json{{"^x.q", 1}}));
  EXPECT_EQ(json["exclude_modules"], (Json{"other.y.q"}));
}

TEST(LoraConfigJson, TellsWhatTheBaseIs) {
  LoraConfig config;
  config.modules = {{"h.0.attn", LoraLayer::kConv1D, 1}};
  config.architecture = "GPT2LMHeadModel";
  config.base = "openai/gpt2";
  config.saved = {"ln_f"};
  const Json json = Written(config);
  EXPECT_EQ(json["fan_in_fan_out"], true);
  EXPECT_EQ(json["task_type"], "CAUSAL_LM");
  EXPECT_EQ(json["base_model_name_or_path"], "openai/gpt2");
  EXPECT_EQ(json["modules_to_save"], (Json{"ln_f"}));
}

TEST(LoraKey, IsThatOfPeft) {
  EXPECT_EQ(LoraKey("model.q_proj", LoraLayer::kLinear, true),
            "base_model.model.model.q_proj.lora_A.weight");
  EXPECT_EQ(LoraKey("h.0", LoraLayer::kConv1D, false), "base_model.model.h.0.lora_B.weight");
  EXPECT_EQ(LoraKey("wte", LoraLayer::kEmbedding, true), "base_model.model.wte.lora_embedding_A");
  EXPECT_EQ(SavedKey("norm.weight"), "base_model.model.norm.weight");
}

TEST(MatchesModule, ByItsNameOrItsEnd) {
  EXPECT_TRUE(MatchesModule("a.b.q_proj", "q_proj"));
  EXPECT_TRUE(MatchesModule("a.b.q_proj", "b.q_proj"));
  EXPECT_TRUE(MatchesModule("q_proj", "q_proj"));
  EXPECT_FALSE(MatchesModule("a.xq_proj", "q_proj"));
  EXPECT_FALSE(MatchesModule("q_proj", "a.q_proj"));
}

}  // namespace
}  // namespace merganser
