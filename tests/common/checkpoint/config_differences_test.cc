// What config.json of models says otherwise than the reference's, and what means the same.
#include "common/checkpoint/config_differences.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/common/checkpoint/stage.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

// What all have beside what a case is about.
constexpr char kPlain[] =
    R"("model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2,
       "max_position_embeddings": 4096)";

std::string Config(const std::string& more, const std::string& plain = kPlain) {
  return absl::StrCat("{", plain, more.empty() ? "" : ", ", more, "}");
}

class ConfigDifferencesTest : public ::testing::Test {
 protected:
  // Of m0, the reference, and the others.
  ConfigComparison Compare(const std::vector<std::string>& configs, bool sliced = false) {
    models_.clear();
    std::vector<const Checkpoint*> pointers;
    for (const std::string& config : configs) {
      TinyCheckpoint tiny;
      tiny.config = config;
      tiny.tensors.push_back({"w", DType::kF32, {1}});
      models_.push_back(
          std::make_unique<Checkpoint>(stage_.Make(absl::StrCat("c", ++count_), tiny)));
      models_.back()->given = absl::StrCat("m", models_.size() - 1);
      pointers.push_back(models_.back().get());
    }
    return CompareConfigs(pointers, 0, sliced);
  }
  std::vector<std::string> Warnings(const std::string& one, const std::string& other) {
    return Compare({Config(one), Config(other)}).warnings;
  }

  Stage stage_;
  int count_ = 0;
  std::vector<std::unique_ptr<Checkpoint>> models_;
};

TEST_F(ConfigDifferencesTest, AWarningNamesKeyValuesFilesAndWhoseIsTaken) {
  const ConfigComparison found =
      Compare({Config(R"("rope_theta": 10000.0)"), Config(R"("rope_theta": 1e6)")});
  ASSERT_THAT(found.warnings, SizeIs(1));
  EXPECT_THAT(found.warnings[0],
              AllOf(HasSubstr("config.json: key 'rope_theta' is 1e6 in model 'm1' ("),
                    HasSubstr("c2/config.json) and 10000.0 in model 'm0' ("),
                    HasSubstr("c1/config.json), which the output gets: positions are encoded in "
                              "another way")));
  ASSERT_THAT(found.differences, SizeIs(1));
  EXPECT_EQ(found.differences[0].key, "rope_theta");
  EXPECT_EQ(found.differences[0].taken, "10000.0");
  EXPECT_EQ(found.differences[0].other, "1e6");
  EXPECT_THAT(found.differences[0].models, ElementsAre(1));
}

TEST_F(ConfigDifferencesTest, WhatChangesAMeaningIsTold) {
  const std::pair<const char*, const char*> kCases[] = {
      {R"("num_key_value_heads": 4)", R"("num_key_value_heads": 2)"},
      {R"("hidden_act": "silu")", R"("hidden_act": "gelu")"},
      {R"("rms_norm_eps": 1e-06)", R"("rms_norm_eps": 1e-05)"},
      {"", R"("sliding_window": 16)"},
      {R"("sliding_window": 16)", R"("sliding_window": null)"},
      {"", R"("rope_scaling": {"rope_type": "yarn", "factor": 4.0})"},
      {R"("rope_scaling": {"type": "linear", "factor": 2.0})",
       R"("rope_scaling": {"type": "linear", "factor": 4.0})"},
      {R"("rope_theta": 10000.0)", R"("rope_parameters": {"rope_type": "default",
                                                          "rope_theta": 500000.0})"},
      {"", R"("rope_theta": 500000)"},
      {"", R"("final_logit_softcapping": 30.0)"},
      {R"("attn_logit_softcapping": 50.0)", R"("attn_logit_softcapping": null)"},
      {R"("num_experts_per_tok": 2)", R"("num_experts_per_tok": 4)"},
      {R"("num_experts": 8)", R"("num_local_experts": 16)"},
      {R"("norm_topk_prob": true)", R"("norm_topk_prob": false)"},
      {R"("query_pre_attn_scalar": 256)", R"("query_pre_attn_scalar": 224)"},
      {R"("logits_scaling": 8)", ""},
      {R"("partial_rotary_factor": 0.5)", ""},
      {R"("attention_bias": true)", ""},
      {R"("use_sliding_window": false, "sliding_window": 8)",
       R"("use_sliding_window": true, "sliding_window": 8)"},
      {R"("nobody_knows_this": 1)", R"("nobody_knows_this": 2)"},
      {R"("nested": {"nobody": 1})", R"("nested": {"nobody": 2})"},
      {R"("vision_config": {"patch_size": 14})", R"("vision_config": {"patch_size": 16})"},
      {R"("layer_types": ["full_attention", "sliding_attention"])",
       R"("layer_types": ["sliding_attention", "full_attention"])"},
      {R"("image_token_id": 5)", R"("image_token_id": 6)"},
      {R"("time_step_limit": [0.0, Infinity])", R"("time_step_limit": [0.0, 1.0])"},
  };
  for (const auto& [one, other] : kCases) {
    EXPECT_THAT(Warnings(one, other), SizeIs(1)) << one << " / " << other;
    EXPECT_THAT(Warnings(other, one), SizeIs(1)) << other << " / " << one;
    EXPECT_THAT(Warnings(one, one), IsEmpty()) << one;
  }
}

TEST_F(ConfigDifferencesTest, WhatMeansTheSameIsSilent) {
  const std::pair<const char*, const char*> kCases[] = {
      // Versions and spellings.
      {R"("torch_dtype": "float32", "transformers_version": "4.40.0")", R"("dtype": "bfloat16")"},
      {R"("rms_norm_eps": 1e-05, "rope_theta": 10000)", R"("rms_norm_eps": 0.00001,
                                                          "rope_theta": 10000.0)"},
      {R"("rms_norm_eps": 1e-06)", R"("rms_norm_eps": 9.999999974752427e-07)"},
      {R"("rope_theta": 1e6, "rope_scaling": null)",
       R"("rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0})"},
      {R"("rope_theta": 5e5, "rope_scaling": {"type": "yarn", "factor": 4.0})",
       R"("rope_parameters": {"rope_type": "yarn", "factor": 4, "rope_theta": 500000.0,
                              "beta_fast": 32.0, "original_max_position_embeddings": 4096})"},
      {R"("rope_theta": 1e6, "rope_local_base_freq": 10000.0, "sliding_window_pattern": 6,
           "rope_scaling": {"rope_type": "linear", "factor": 8.0})",
       R"("rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0,
                                                 "rope_theta": 1e6},
                              "sliding_attention": {"rope_type": "default", "rope_theta": 10000}},
          "layer_types": ["sliding_attention", "full_attention"])"},
      {R"("rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]})",
       R"("rope_scaling": {"type": "default", "rope_type": "default", "mrope_section": [2, 3, 3]})"},
      {R"("rope_scaling": {"type": "su", "long_factor": [1.0, 2.5]})",
       R"("rope_scaling": {"type": "longrope", "long_factor": [1, 2.50]})"},
      {R"("n_layer": 2, "layer_norm_epsilon": 1e-5)", R"("layer_norm_eps": 1e-5)"},
      {R"("num_experts": 8)", R"("num_local_experts": 8)"},
      {R"("hidden_act": "swish")", R"("hidden_act": "silu")"},
      {R"("hidden_act": "gelu_new")", R"("hidden_act": "gelu_pytorch_tanh")"},
      {R"("eos_token_id": [2])", R"("eos_token_id": 2)"},
      {R"("eos_token_id": [2, 1])", R"("eos_token_id": [1, 2])"},
      {R"("text_config": {"rope_theta": 5e5}, "rope_theta": 5e5)", R"("rope_theta": 500000)"},
      // Defaults that one of them leaves out.
      {"", R"("num_key_value_heads": 4, "head_dim": 16, "rope_theta": 10000.0)"},
      {"", R"("attention_bias": false, "mlp_bias": false, "attention_dropout": 0.0)"},
      {"", R"("rope_scaling": null, "sliding_window": null, "pad_token_id": null, "x": [], "y": {},
              "z": "")"},
      {R"("use_sliding_window": false, "sliding_window": 131072, "max_window_layers": 28)",
       R"("use_sliding_window": false, "sliding_window": null, "max_window_layers": 28,
           "layer_types": ["full_attention", "full_attention"])"},
      {R"("vision_config": {"hidden_size": 8})",
       R"("vision_config": {"hidden_size": 8, "image_size": 224, "hidden_act": "quick_gelu"})"},
      // How it was trained and is run.
      {R"("use_cache": true, "pretraining_tp": 1, "_name_or_path": "a")",
       R"("use_cache": false, "_attn_implementation_autoset": true, "unsloth_version": "2025.1",
           "unsloth_fixed": true, "gradient_checkpointing": true, "attention_dropout": 0.1)"},
      {R"("initializer_range": 0.02, "router_aux_loss_coef": 0.001, "temperature": 1.0)",
       R"("initializer_range": 0.01, "router_aux_loss_coef": 0.01, "temperature": 0.6)"},
      {R"("auto_map": {"AutoModel": "a.B"}, "id2label": {"0": "A"})",
       R"("auto_map": {"AutoModel": "c.D"}, "id2label": {"0": "B"})"},
      // What others compare.
      {R"("vocab_size": 32000, "tie_word_embeddings": false)",
       R"("vocab_size": 32001, "tie_word_embeddings": true)"},
      {R"("architectures": ["LlamaForCausalLM"])", R"("architectures": ["FSDPLlamaForCausalLM"])"},
  };
  for (const auto& [one, other] : kCases) {
    EXPECT_THAT(Warnings(one, other), IsEmpty()) << one << " / " << other;
    EXPECT_THAT(Warnings(other, one), IsEmpty()) << other << " / " << one;
  }
}

TEST_F(ConfigDifferencesTest, FamiliesHaveTheirOwnWays) {
  const auto warnings = [&](const std::string& type, const std::string& one,
                            const std::string& other) {
    const std::string plain =
        absl::StrCat(R"("num_attention_heads": 4, "model_type": ")", type, "\"");
    return Compare({Config(one, plain), Config(other, plain)}).warnings;
  };
  EXPECT_THAT(warnings("gemma", R"("hidden_act": "gelu")",
                       R"("hidden_act": "gelu_pytorch_tanh", "hidden_activation": null)"),
              IsEmpty());
  EXPECT_THAT(warnings("gemma2", R"("hidden_act": "gelu_pytorch_tanh",
                                    "hidden_activation": "gelu_pytorch_tanh")",
                       R"("hidden_activation": "gelu_pytorch_tanh")"),
              IsEmpty());
  EXPECT_THAT(warnings("gemma2", R"("hidden_activation": "gelu_pytorch_tanh")",
                       R"("hidden_activation": "relu")"),
              SizeIs(1));
  EXPECT_THAT(warnings("qwen2", R"("sliding_window": 4096)", R"("sliding_window": 32768)"),
              IsEmpty());
  EXPECT_THAT(warnings("mistral", R"("sliding_window": 4096)", R"("sliding_window": 32768)"),
              SizeIs(1));
}

// Kinds of layers in lists and as older files tell them: what the class makes of both is compared.
struct Spelled {
  const char* type;
  const char* listed;  // beside what transformers 5 leaves of the older keys, where it does
  const char* older;
  const char* other;  // the older keys, of other layers
};
constexpr Spelled kSpelled[] = {
    {"afmoe", R"("layer_types": ["sliding_attention", "sliding_attention", "sliding_attention",
                 "full_attention"], "global_attn_every_n_layers": 2)",
     R"("global_attn_every_n_layers": 4)", R"("global_attn_every_n_layers": 3)"},
    {"bailing_hybrid", R"("layer_types": ["linear_attention", "linear_attention",
                          "linear_attention", "full_attention"], "layer_group_size": 6)",
     R"("layer_group_size": 4)", R"("layer_group_size": 2)"},
    {"bailing_hybrid", R"("mlp_layer_types": ["dense", "dense", "sparse", "sparse"],
                          "first_k_dense_replace": 1)",
     R"("first_k_dense_replace": 2)", R"("first_k_dense_replace": 3)"},
    {"bailing_hybrid", R"("mlp_layer_types": ["dense", "dense", "sparse", "sparse"])", "",
     R"("first_k_dense_replace": 1)"},
    {"cohere2", R"("layer_types": ["sliding_attention", "sliding_attention", "sliding_attention",
                   "full_attention"])",
     R"("sliding_window_pattern": 4)", R"("sliding_window_pattern": 2)"},
    {"deepseek_v32", R"("mlp_layer_types": ["dense", "dense", "dense", "sparse"],
                        "first_k_dense_replace": 1)",
     R"("first_k_dense_replace": 3)", R"("first_k_dense_replace": 2)"},
    {"glm4_moe_lite", R"("mlp_layer_types": ["dense", "sparse", "sparse", "sparse"])",
     R"("first_k_dense_replace": 1)", R"("first_k_dense_replace": 2)"},
    {"hy_v3", R"("mlp_layer_types": ["dense", "sparse", "sparse", "sparse"])",
     R"("first_k_dense_replace": 1)", R"("first_k_dense_replace": 0)"},
    // Of a type that nobody here knows.
    {"of_tomorrow", R"("mlp_layer_types": ["dense", "sparse", "sparse", "sparse"])",
     R"("first_k_dense_replace": 1)", R"("first_k_dense_replace": 2)"},
    {"gemma2", R"("layer_types": ["sliding_attention", "full_attention", "sliding_attention",
                  "full_attention"])",
     "", R"("layer_types": ["full_attention", "full_attention", "sliding_attention",
                            "full_attention"])"},
    {"gemma3_text", R"("layer_types": ["sliding_attention", "full_attention", "sliding_attention",
                       "full_attention"], "_sliding_window_pattern": 6)",
     R"("sliding_window_pattern": 2)", R"("sliding_window_pattern": 6)"},
    {"gpt_neo", R"("attention_layers": ["global", "local", "global", "local"],
                   "attention_types": [[["global", "local"], 12]])",
     R"("attention_types": [[["global", "local"], 2]])",
     R"("attention_types": [[["global"], 2], [["local"], 2]])"},
    {"granitemoehybrid", R"("layer_types": ["linear_attention", "full_attention",
                            "linear_attention", "linear_attention"])",
     R"("layers_block_type": ["mamba", "attention", "mamba", "mamba"])",
     R"("layers_block_type": ["mamba", "mamba", "attention", "mamba"])"},
    {"kimi_linear", R"("layer_types": ["linear_attention", "linear_attention", "linear_attention",
                       "full_attention"], "linear_head_dim": 8, "linear_num_heads": 4)",
     R"("linear_attn_config": {"kda_layers": [1, 2, 3], "full_attn_layers": [4], "head_dim": 8,
                               "num_heads": 4})",
     R"("linear_head_dim": 8, "linear_num_heads": 4,
        "linear_attn_config": {"kda_layers": [1, 2, 4], "full_attn_layers": [3]})"},
    {"lfm2", R"("layer_types": ["conv", "full_attention", "conv", "full_attention"])",
     R"("full_attn_idxs": [1, 3])", R"("full_attn_idxs": [1, 2])"},
    {"llama4_text", R"("no_rope_layers": [1, 1, 1, 0])", R"("no_rope_layer_interval": 4)",
     R"("no_rope_layer_interval": 2)"},
    {"llama4_text", R"("moe_layers": [1, 3], "interleave_moe_layer_step": 1)",
     R"("interleave_moe_layer_step": 2)", R"("interleave_moe_layer_step": 1)"},
    {"modernbert", R"("layer_types": ["full_attention", "sliding_attention", "sliding_attention",
                      "full_attention"])",
     R"("global_attn_every_n_layers": 3)", R"("global_attn_every_n_layers": 2)"},
    {"nemotron_h", R"("layers_block_type": ["linear_attention", "moe", "full_attention", "mlp"])",
     R"("hybrid_override_pattern": "ME*-")", R"("hybrid_override_pattern": "MEE-")"},
    {"qwen2", R"("use_sliding_window": true, "sliding_window": 8, "layer_types":
                 ["full_attention", "full_attention", "sliding_attention", "sliding_attention"])",
     R"("use_sliding_window": true, "sliding_window": 8, "max_window_layers": 2)",
     R"("use_sliding_window": true, "sliding_window": 8, "max_window_layers": 3)"},
    {"qwen3_next", R"("layer_types": ["linear_attention", "linear_attention", "linear_attention",
                      "full_attention"])",
     R"("full_attention_interval": 4)", R"("full_attention_interval": 2)"},
    {"smollm3", R"("no_rope_layers": [1, 1, 1, 0], "no_rope_layer_interval": 2)",
     R"("no_rope_layer_interval": 4)", R"("no_rope_layer_interval": 3)"},
    {"zamba2", R"("layers_block_type": ["linear_attention", "hybrid", "linear_attention",
                  "hybrid"], "hybrid_layer_ids": [1, 3])",
     R"("layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"])",
     R"("layers_block_type": ["mamba", "mamba", "hybrid", "hybrid"])"},
};

TEST_F(ConfigDifferencesTest, KindsOfLayersAreComparedAsTheClassReadsThem) {
  for (const Spelled& one : kSpelled) {
    const std::string plain = absl::StrCat(
        R"("num_attention_heads": 4, "num_hidden_layers": 4, "model_type": ")", one.type, "\"");
    const auto warnings = [&](const char* a, const char* b) {
      return Compare({Config(a, plain), Config(b, plain)}).warnings;
    };
    for (const auto& [a, b] : {std::pair(one.listed, one.older), std::pair(one.older, one.listed),
                               std::pair(one.older, one.older)}) {
      EXPECT_THAT(warnings(a, b), IsEmpty()) << one.type << ": " << a << " / " << b;
    }
    EXPECT_THAT(warnings(one.listed, one.other), SizeIs(1)) << one.type << ": " << one.other;
    EXPECT_THAT(warnings(one.other, one.listed), SizeIs(1)) << one.type << ": " << one.other;
    EXPECT_THAT(warnings(one.older, one.other), SizeIs(1)) << one.type << ": " << one.other;
  }
}

TEST_F(ConfigDifferencesTest, OtherKindsOfLayersAreToldByTheKeysThatSayThem) {
  const std::string plain =
      R"("num_attention_heads": 4, "num_hidden_layers": 4, "model_type": "bailing_hybrid")";
  const auto warnings = [&](const char* a, const char* b) {
    return Compare({Config(a, plain), Config(b, plain)}).warnings;
  };
  EXPECT_THAT(warnings(R"("mlp_layer_types": ["dense", "sparse", "sparse", "sparse"])",
                       R"("first_k_dense_replace": 2)"),
              ElementsAre(AllOf(HasSubstr("key 'mlp_layer_types' is 2 in model 'm1'"),
                                HasSubstr("(as 'first_k_dense_replace') and [\"dense\", "),
                                HasSubstr("which layers have experts"))));
  EXPECT_THAT(warnings(R"("first_k_dense_replace": 1)", R"("first_k_dense_replace": 3)"),
              ElementsAre(HasSubstr("key 'first_k_dense_replace' is 3 in model 'm1' (")));
  // What the class takes where nothing is said.
  EXPECT_THAT(warnings(R"("first_k_dense_replace": 2)", ""), IsEmpty());
  EXPECT_THAT(warnings("", R"("first_k_dense_replace": 3)"),
              ElementsAre(AllOf(HasSubstr("key 'first_k_dense_replace' is 3"),
                                HasSubstr("missing in model 'm0'"))));
}

TEST_F(ConfigDifferencesTest, AListSaysNothingWhereTheClassReadsTheCount) {
  const std::string plain =
      R"("num_attention_heads": 4, "num_hidden_layers": 4, "model_type": "deepseek_v3")";
  EXPECT_THAT(Compare({Config(R"("mlp_layer_types": ["dense", "dense", "sparse", "sparse"],
                         "first_k_dense_replace": 1)",
                              plain),
                       Config(R"("mlp_layer_types": ["dense", "dense", "sparse", "sparse"],
                         "first_k_dense_replace": 2)",
                              plain)})
                  .warnings,
              ElementsAre(HasSubstr("first_k_dense_replace")));
}

TEST_F(ConfigDifferencesTest, OneLineForModelsThatSayTheSame) {
  const ConfigComparison found =
      Compare({Config(R"("rope_theta": 1e4)"), Config(R"("rope_theta": 1e6)"),
               Config(R"("rope_theta": 5e5)"), Config(R"("rope_theta": 1000000)"),
               Config(R"("rope_theta": 1e6)"), Config(R"("rope_theta": 1e6)")});
  ASSERT_THAT(found.warnings, SizeIs(2));
  EXPECT_THAT(found.warnings[0], AllOf(HasSubstr("'m1'"), HasSubstr("'m3'"), HasSubstr("'m4'"),
                                       HasSubstr("and 1 more"), Not(HasSubstr("'m2'"))));
  EXPECT_THAT(found.warnings[1], HasSubstr("is 5e5 in model 'm2'"));
  EXPECT_THAT(found.differences[0].models, ElementsAre(1, 3, 4, 5));
}

TEST_F(ConfigDifferencesTest, ManyDifferencesEndInOneLine) {
  std::string one, other;
  for (int i = 0; i < 30; ++i) {
    absl::StrAppend(&one, i > 0 ? ", " : "", "\"key_", i, "\": 1");
    absl::StrAppend(&other, i > 0 ? ", " : "", "\"key_", i, "\": 2");
  }
  const ConfigComparison found = Compare({Config(one), Config(other)});
  ASSERT_THAT(found.warnings, SizeIs(13));
  EXPECT_THAT(found.warnings.back(), HasSubstr("18 more values differ"));
  EXPECT_THAT(found.differences, SizeIs(30));
}

TEST_F(ConfigDifferencesTest, AMissingValueIsCalledSo) {
  EXPECT_THAT(Warnings("", R"("sliding_window": 16)")[0],
              AllOf(HasSubstr("key 'sliding_window' is 16 in model 'm1'"),
                    HasSubstr("and missing in model 'm0'"), HasSubstr("whose config the output")));
  EXPECT_THAT(Warnings(R"("sliding_window": 16)", "")[0],
              AllOf(HasSubstr("is missing in model 'm1'"), HasSubstr("and 16 in model 'm0'")));
}

TEST_F(ConfigDifferencesTest, OfFilesThatLeaveAllToTheirClassANoteSaysWhatWasNotCompared) {
  const std::string bare = R"({"model_type": "llama", "rms_norm_eps": 1e-6})";
  const ConfigComparison found =
      Compare({bare, Config(R"("rms_norm_eps": 1e-5, "query_pre_attn_scalar": 256)")});
  ASSERT_THAT(found.warnings, SizeIs(1));
  EXPECT_THAT(found.warnings[0], HasSubstr("rms_norm_eps"));
  ASSERT_THAT(found.notes, SizeIs(1));
  EXPECT_THAT(found.notes[0], AllOf(HasSubstr("model 'm0'"), HasSubstr("'query_pre_attn_scalar'")));
}

TEST_F(ConfigDifferencesTest, OfSlicesWhatIsOfLayersIsLeftOut) {
  const std::string one = R"({"num_hidden_layers": 2, "layer_types": ["a", "b"],
                              "first_k_dense_replace": 1, "hidden_act": "silu"})";
  const std::string other = R"({"num_hidden_layers": 3, "layer_types": ["a", "b", "b"],
                                "first_k_dense_replace": 2, "hidden_act": "gelu"})";
  EXPECT_THAT(Compare({one, other}, true).warnings, ElementsAre(HasSubstr("hidden_act")));
  EXPECT_THAT(Compare({one, other}, false).warnings, SizeIs(4));
}

TEST_F(ConfigDifferencesTest, ModelsWithoutAConfigAreNotCompared) {
  EXPECT_THAT(Compare({"", Config("")}).warnings, IsEmpty());
  EXPECT_THAT(Compare({Config(R"("rope_theta": 5)"), ""}).warnings, IsEmpty());
}

}  // namespace
}  // namespace merganser
