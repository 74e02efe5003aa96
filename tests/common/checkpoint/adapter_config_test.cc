// adapter_config.json: what is taken, what changes nothing, and what is refused by name.
#include "common/checkpoint/adapter_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A file with `more` behind what it must have.
std::string File(const std::string& more) {
  return absl::StrCat(R"({"peft_type": "LORA", "r": 4, "lora_alpha": 8)", more.empty() ? "" : ", ",
                      more, "}");
}

AdapterConfig Parse(const std::string& more) {
  const auto config = ParseAdapterConfig(File(more));
  EXPECT_TRUE(config.ok()) << more << ": " << config.status();
  return config.ok() ? *config : AdapterConfig();
}

std::string Refused(const std::string& text) {
  const auto config = ParseAdapterConfig(text);
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(config.status().message());
}

TEST(AdapterConfig, WhatPeftWrites) {
  const AdapterConfig config = Parse(R"("alora_invocation_tokens": null, "alpha_pattern": {},
    "arrow_config": null, "auto_mapping": {"base_model_class": "M"},
    "base_model_name_or_path": "org/base", "bias": "none", "corda_config": null,
    "ensure_weight_tying": false, "eva_config": null, "exclude_modules": null,
    "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true,
    "kasa_config": null, "layer_replication": null, "layers_pattern": null,
    "layers_to_transform": null, "loftq_config": {}, "lora_bias": false, "lora_dropout": 0.05,
    "lora_ga_config": null, "megatron_config": null, "megatron_core": "megatron.core",
    "modules_to_save": ["embed_tokens"], "monteclora_config": null, "peft_version": "0.21.2",
    "qalora_group_size": 16, "rank_pattern": {}, "revision": "main",
    "target_modules": ["q_proj", "v_proj"], "target_parameters": null, "task_type": "CAUSAL_LM",
    "trainable_token_indices": null, "use_bdlora": null, "use_dora": false, "use_qalora": false,
    "use_rslora": false, "velora_config": null)");
  EXPECT_EQ(config.base_model, "org/base");
  EXPECT_EQ(config.rank, 4u);
  EXPECT_EQ(config.ScaleOf("model.layers.0.q_proj"), 2);
  EXPECT_THAT(config.target_modules.names, ElementsAre("q_proj", "v_proj"));
  EXPECT_THAT(config.modules_to_save, ElementsAre("embed_tokens"));
  EXPECT_FALSE(config.biases);
}

TEST(AdapterConfig, DefaultsArePeftsOwn) {
  const auto config = ParseAdapterConfig(R"({"peft_type": "LORA"})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->rank, 8u);
  EXPECT_EQ(config->ScaleOf("q"), 1);
}

TEST(AdapterConfig, RsloraDividesByTheRoot) {
  EXPECT_EQ(Parse(R"("use_rslora": true)").ScaleOf("q"), 8 / std::sqrt(4.0));
}

TEST(AdapterConfig, PatternsFitAllOfANameOrItsEnd) {
  const AdapterConfig config = Parse(R"("rank_pattern": {"q_proj": 2, "^model.layers.1.v_proj": 3,
    "layers\\.[23]\\.o_proj": 5, "o_proj": 6, "proj": 7},
    "alpha_pattern": {"layers.0.q_proj": 16})");
  EXPECT_EQ(config.RankOf("model.layers.0.q_proj"), 2u);
  EXPECT_EQ(config.RankOf("q_proj"), 2u);
  EXPECT_EQ(config.RankOf("model.layers.0.xq_proj"), 4u) << "not behind a dot";
  EXPECT_EQ(config.RankOf("model.layers.1.v_proj"), 3u);
  EXPECT_EQ(config.RankOf("wrapped.model.layers.1.v_proj"), 4u) << "^ begins the name";
  EXPECT_EQ(config.RankOf("model.layers.3.o_proj"), 5u);
  EXPECT_EQ(config.RankOf("model.layers.4.o_proj"), 6u) << "the first that fits";
  EXPECT_EQ(config.ScaleOf("model.layers.0.q_proj"), 8);
  EXPECT_EQ(config.ScaleOf("model.layers.1.q_proj"), 4);
}

TEST(AdapterConfig, ExpressionsOfTargetsFitAllOfTheName) {
  const AdapterConfig config =
      Parse(R"("target_modules": ".*language_model.*\\.(q_proj|v_proj)$")");
  EXPECT_NE(config.target_modules.Find("model.language_model.layers.0.q_proj"), nullptr);
  EXPECT_EQ(config.target_modules.Find("model.visual.blocks.0.q_proj"), nullptr);
  EXPECT_TRUE(Parse(R"("target_modules": "all-linear")").target_modules.empty());
}

TEST(AdapterConfig, AnExpressionThatBacktracksForeverEnds) {
  const AdapterConfig config = Parse(R"("target_modules": "(a+)+b")");
  EXPECT_EQ(config.target_modules.Find(std::string(200, 'a')), nullptr);
}

TEST(AdapterConfig, InitialisationsThatChangedTheBase) {
  for (const char* init : {"pissa", "pissa_niter_16", "olora", "OLoRA", "corda", "lora_ga"}) {
    EXPECT_THAT(Refused(File(absl::StrCat("\"init_lora_weights\": \"", init, "\""))),
                AllOf(HasSubstr("key 'init_lora_weights'"), HasSubstr(init),
                      HasSubstr("path_initial_model_for_weight_conversion")));
  }
  EXPECT_THAT(Refused(File(R"("init_lora_weights": "loftq")")), HasSubstr("quantised base"));
  EXPECT_THAT(Refused(File(R"("init_lora_weights": "sparkling")")), HasSubstr("sparkling"));
  for (const char* init : {"true", "false", "\"gaussian\"", "\"eva\"", "\"orthogonal\"", "null"}) {
    Parse(absl::StrCat("\"init_lora_weights\": ", init));
  }
}

TEST(AdapterConfig, WhatIsNotSupportedIsRefusedByName) {
  for (const auto& [key, value] : std::vector<std::pair<std::string, std::string>>{
           {"alora_invocation_tokens", "[1, 2]"},
           {"trainable_token_indices", "[3]"},
           {"layer_replication", "[[0, 4], [2, 5]]"},
           {"megatron_config", "{\"a\": 1}"},
           {"use_qalora", "true"},
           {"arrow_config", "{\"top_k\": 2}"},
           {"velora_config", "{\"scale\": 1}"},
           {"kasa_config", "{\"beta\": 1}"},
           {"monteclora_config", "{\"num_samples\": 8}"},
           {"use_bdlora", "{\"nblocks\": 2}"},
           {"ensure_weight_tying", "true"}}) {
    EXPECT_THAT(Refused(File(absl::StrCat("\"", key, "\": ", value))),
                HasSubstr("key '" + key + "'"));
    for (const char* nothing : {"null", "false", "[]", "{}", "\"\""}) {
      Parse(absl::StrCat("\"", key, "\": ", nothing));
    }
  }
}

TEST(AdapterConfig, UnknownKeysAreRefusedUnlessTheySayNothing) {
  EXPECT_THAT(Refused(File(R"("new_trick": 0.5)")),
              AllOf(HasSubstr("key 'new_trick': found 0.5"), HasSubstr("does not know")));
  EXPECT_THAT(Refused(File(R"("use_rslra": true)")), HasSubstr("did you mean 'use_rslora'?"));
  Parse(R"("new_trick": null, "newer_trick": false, "newest": {})");
}

TEST(AdapterConfig, OtherTypesOfPeft) {
  EXPECT_THAT(Refused(R"({"peft_type": "XLORA"})"), HasSubstr("X-LoRA"));
  EXPECT_THAT(Refused(R"({"peft_type": "LOHA", "r": 4})"),
              AllOf(HasSubstr("'LOHA'"), HasSubstr("merge_and_unload()")));
  EXPECT_THAT(Refused("{}"), HasSubstr("key 'peft_type': missing"));
}

TEST(AdapterConfig, ValuesThatCannotBe) {
  for (const auto& [more, text] : std::vector<std::pair<std::string, std::string>>{
           {R"("r": 0)", "key 'r': found 0"},
           {R"("r": -4)", "key 'r': found -4"},
           {R"("r": "4")", "key 'r': found '4'"},
           {R"("r": 99999999999)", "key 'r'"},
           {R"("lora_alpha": "8")", "key 'lora_alpha'"},
           {R"("rank_pattern": [1])", "key 'rank_pattern': found a list of 1"},
           {R"("rank_pattern": {"q": 0})", "key 'rank_pattern.q': found 0"},
           {R"("alpha_pattern": {"(": 1})", "key 'alpha_pattern': found '('"},
           {R"x("target_modules": "(?=q)q")x", "key 'target_modules'"},
           {R"("target_modules": [3])", "key 'target_modules': found 3"},
           {R"("bias": "some")", "key 'bias': found 'some'"},
           {R"("use_dora": 1)", "key 'use_dora': found 1"},
           {R"("layers_to_transform": ["a"])", "key 'layers_to_transform'"}}) {
    const std::string head = R"({"peft_type": "LORA", )";
    const auto config = ParseAdapterConfig(absl::StrCat(head, more, "}"));
    EXPECT_FALSE(config.ok()) << more;
    EXPECT_THAT(std::string(config.status().message()), HasSubstr(text));
  }
}

// They come from anywhere: neither depth nor repetition may cost more than a moment.
TEST(AdapterConfig, PatternsThatAreMadeToHarm) {
  const std::string head = R"({"peft_type": "LORA", "r": 4, "target_modules": ")";
  const std::string name(1000, 'a');
  const auto fits = [&](const std::string& pattern) {
    const auto config = ParseAdapterConfig(absl::StrCat(head, pattern, "\"}"));
    return config.ok() && config->target_modules.Find(name) != nullptr;
  };
  EXPECT_TRUE(fits("(?P<x>a+)+"));
  EXPECT_FALSE(fits("(a|a?)+b"));
  EXPECT_FALSE(fits("(a{0,1000}){0,90}b"));
  EXPECT_FALSE(fits(absl::StrCat(std::string(2000, '('), "b", std::string(2000, ')'))));
}

TEST(AdapterConfig, WhatIsNoSuchFile) {
  EXPECT_EQ(ParseAdapterConfig("[]").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ParseAdapterConfig("{").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ParseAdapterConfig(File(R"("r": 8)")).status().code(), absl::StatusCode::kDataLoss)
      << "r is there twice";
  EXPECT_EQ(ParseAdapterConfig(std::string(5000, '[')).status().code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace merganser
