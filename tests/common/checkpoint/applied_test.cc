// Weights that loading would apply to others are refused by name, in whatever
// wrapping they are stored.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/alignment.h"
#include "common/checkpoint/checkpoint.h"
#include "tests/common/checkpoint/stage.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kLayer[] = "model.layers.0.self_attn.q_proj.";

using Named = std::vector<std::pair<std::string, Shape>>;

absl::StatusOr<Checkpoint> OpenWith(Stage& stage, const Named& tensors,
                                    const std::string& folder = "m") {
  TinyCheckpoint tiny;
  tiny.tensors = {{"model.norm.weight", DType::kBF16, {2}}};
  for (const auto& [name, shape] : tensors) tiny.tensors.push_back({name, DType::kBF16, shape});
  return OpenCheckpoint(stage.Write(folder, tiny), folder);
}

std::string Refused(const Named& tensors) {
  Stage stage;
  const auto checkpoint = OpenWith(stage, tensors);
  EXPECT_EQ(checkpoint.status().code(), absl::StatusCode::kInvalidArgument)
      << tensors.front().first << ": " << checkpoint.status();
  return std::string(checkpoint.status().message());
}

TEST(AppliedWeights, AdaptersAmongTheTensors) {
  for (const char* prefix : {"", "base_model.model.", "module.", "_orig_mod."}) {
    for (const char* part : {"lora_A.weight",
                             "lora_B.default.weight",
                             "lora_embedding_A",
                             "lora_embedding_B.default",
                             "lora_magnitude_vector",
                             "lora_magnitude_vector.default.weight",
                             "lora_E",
                             "ranknum",
                             "ia3_l",
                             "hada_w1_a",
                             "lokr_w2",
                             "oft_r.default",
                             "boft_R.default",
                             "vera_lambda_d",
                             "lora_up.weight",
                             "dora_scale",
                             "modules_to_save.default.weight",
                             "ln_tuning_layers.default.weight",
                             "bone_block.default",
                             "poly_lora_A.default.weight",
                             "fourierft_spectrum"}) {
      const std::string name = absl::StrCat(prefix, kLayer, part);
      EXPECT_THAT(Refused({{name, {2, 2}}}),
                  AllOf(HasSubstr(name), HasSubstr("adapter"), HasSubstr("merge_and_unload()")));
    }
  }
}

TEST(AppliedWeights, PromptsThatAreLearned) {
  EXPECT_THAT(Refused({{"prompt_embeddings", {2, 2}}}), HasSubstr("adapter"));
  EXPECT_THAT(Refused({{"prompt_encoder.default.embedding.weight", {2, 2}}}), HasSubstr("adapter"));
}

TEST(AppliedWeights, ALayerThatAnAdapterWraps) {
  for (const char* last : {"base_layer.weight", "base_layer.bias"}) {
    const std::string name = absl::StrCat(kLayer, last);
    EXPECT_THAT(Refused({{absl::StrCat("module.base_model.model.", name), {2, 2}}}),
                AllOf(HasSubstr(name), HasSubstr("merge_and_unload()")));
    // Without the prefix the other models tell: what was trained beside the layer may have
    // been lost when it was saved.
    Stage stage;
    const std::string plain = absl::StrCat(kLayer, std::string(last).substr(11));
    const auto base = OpenWith(stage, {{plain, {2, 2}}}, "base");
    const auto wrapped = OpenWith(stage, {{name, {2, 2}}}, "wrapped");
    ASSERT_TRUE(base.ok() && wrapped.ok()) << base.status() << wrapped.status();
    for (const auto& models : {std::vector{&*base, &*wrapped}, std::vector{&*wrapped, &*base}}) {
      const auto status = AlignModels(models).status();
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
      EXPECT_THAT(std::string(status.message()),
                  AllOf(HasSubstr(name), HasSubstr(plain), HasSubstr("merge_and_unload()")));
    }
    // Where all have it so, loading takes it as it is.
    EXPECT_TRUE(AlignModels({&*wrapped, &*wrapped}).ok());
  }
}

TEST(AppliedWeights, Parametrizations) {
  EXPECT_THAT(Refused({{"conv.weight_g", {4, 1, 1}}, {"conv.weight_v", {4, 2, 3}}}),
              AllOf(HasSubstr("'conv.weight_g' is part of weight norm (with 'conv.weight_v')"),
                    HasSubstr("remove_weight_norm")));
  EXPECT_THAT(Refused({{"conv.weight_g", {1, 1, 3}}, {"conv.weight_v", {4, 2, 3}}}),
              HasSubstr("weight norm"));
  EXPECT_THAT(Refused({{"fc.weight_g", {}}, {"fc.weight_v", {4, 2}}}), HasSubstr("weight norm"));
  EXPECT_THAT(Refused({{"lstm.weight_hh_l0_g", {8, 1}}, {"lstm.weight_hh_l0_v", {8, 2}}}),
              HasSubstr("weight norm"));
  EXPECT_THAT(Refused({{"m.in_proj_weight_g", {8, 1}}, {"m.in_proj_weight_v", {8, 2}}}),
              HasSubstr("weight norm"));
  EXPECT_THAT(Refused({{"a.conv.parametrizations.weight.original0", {4, 1}},
                       {"a.conv.parametrizations.weight.original1", {4, 2}}}),
              AllOf(HasSubstr("weight norm"), HasSubstr("remove_parametrizations")));
  EXPECT_THAT(Refused({{"a.parametrizations.weight.original", {2, 2}}}),
              HasSubstr("a parametrization"));
  EXPECT_THAT(Refused({{"fc.weight_orig", {4, 2}}, {"fc.weight_u", {4}}}),
              HasSubstr("remove_spectral_norm"));
  EXPECT_THAT(Refused({{"fc.bias_orig", {4}}, {"fc.bias_mask", {4}}}), HasSubstr("prune.remove"));
}

TEST(AppliedWeights, NamesThatOnlyLookLikeThem) {
  Named tensors;
  for (const char* name :
       {"conv.weight_g", "fc.weight_orig", "time_mix_g", "time_mix_v", "gate_g", "gate_v",
        "base_layer.0.weight", "stem.base_layer.weight", "blocks.0.attn.w_lora.lora.0.weight",
        "model.layers.0.self_attn.kv_a_proj_with_mqa.weight", "adapter.0.weight",
        "model.layers.0.linear_q_lora_A_list.0.weight", "prompt_encoder.point_embed.weight",
        "original_module.weight", "bone_head.weight", "vision.prompt_embeddings",
        // Two matrices of one shape are no direction and its length.
        "mix.weight_g", "mix.weight_v"}) {
    tensors.emplace_back(name, Shape{2, 2});
  }
  tensors.emplace_back("other.weight_orig", Shape{2, 2});
  tensors.emplace_back("other.weight_mask", Shape{2});
  Stage stage;
  const auto checkpoint = OpenWith(stage, tensors);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
}

TEST(AppliedWeights, AdapterFilesBesideTheWeights) {
  TinyCheckpoint tiny;
  tiny.tensors = {{"model.norm.weight", DType::kBF16, {2}}};
  for (const char* file :
       {"adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"}) {
    Stage stage;
    tiny.files = {{file, "{}"}};
    const auto checkpoint = OpenCheckpoint(stage.Write("m", tiny), "m");
    EXPECT_EQ(checkpoint.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(
        std::string(checkpoint.status().message()),
        AllOf(HasSubstr(file), HasSubstr("beside the weights"), HasSubstr("name MODEL+FOLDER"),
              HasSubstr("merge_and_unload()"), HasSubstr("move its files away")));
  }
  // That of another run, in a folder of its own, is no part of the model.
  Stage stage;
  tiny.files = {{"checkpoint-100/adapter_config.json", "{}"}};
  EXPECT_TRUE(OpenCheckpoint(stage.Write("m", tiny), "m").ok());
}

}  // namespace
}  // namespace merganser
