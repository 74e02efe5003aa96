// Weights that loading would apply to others are refused by name, in whatever
// wrapping they are stored.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/checkpoint.h"
#include "tests/common/checkpoint/stage.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kLayer[] = "model.layers.0.self_attn.q_proj.";

absl::StatusOr<Checkpoint> OpenWith(Stage& stage, const std::vector<std::string>& names) {
  TinyCheckpoint tiny;
  tiny.tensors = {{"model.norm.weight", DType::kBF16, {2}}};
  for (const std::string& name : names) tiny.tensors.push_back({name, DType::kBF16, {2, 2}});
  return OpenCheckpoint(stage.Write("m", tiny), "m");
}

std::string Refused(const std::vector<std::string>& names) {
  Stage stage;
  const auto checkpoint = OpenWith(stage, names);
  EXPECT_EQ(checkpoint.status().code(), absl::StatusCode::kInvalidArgument)
      << names.front() << ": " << checkpoint.status();
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
                             "base_layer.weight",
                             "base_layer.bias",
                             "modules_to_save.default.weight",
                             "original_module.weight",
                             "ln_tuning_layers.default.weight",
                             "bone_block.default",
                             "poly_lora_A.default.weight",
                             "fourierft_spectrum"}) {
      const std::string name = absl::StrCat(prefix, kLayer, part);
      EXPECT_THAT(Refused({name}),
                  AllOf(HasSubstr(name), HasSubstr("adapter"), HasSubstr("merge_and_unload()")));
    }
  }
}

TEST(AppliedWeights, Parametrizations) {
  EXPECT_THAT(Refused({"conv.weight_g", "conv.weight_v"}),
              AllOf(HasSubstr("'conv.weight_g' is part of weight norm (with 'conv.weight_v')"),
                    HasSubstr("remove_weight_norm")));
  EXPECT_THAT(Refused({"lstm.weight_hh_l0_g", "lstm.weight_hh_l0_v"}), HasSubstr("weight norm"));
  EXPECT_THAT(Refused({"a.conv.parametrizations.weight.original0",
                       "a.conv.parametrizations.weight.original1"}),
              AllOf(HasSubstr("weight norm"), HasSubstr("remove_parametrizations")));
  EXPECT_THAT(Refused({"a.parametrizations.weight.original"}), HasSubstr("a parametrization"));
  EXPECT_THAT(Refused({"fc.weight_orig", "fc.weight_u"}), HasSubstr("remove_spectral_norm"));
  EXPECT_THAT(Refused({"fc.bias_orig", "fc.bias_mask"}), HasSubstr("prune.remove"));
}

TEST(AppliedWeights, NamesThatOnlyLookLikeThem) {
  Stage stage;
  const auto checkpoint =
      OpenWith(stage, {"conv.weight_g", "fc.weight_orig", "time_mix_g", "time_mix_v", "gate_g",
                       "gate_v", "base_layer.0.weight", "blocks.0.attn.w_lora.lora.0.weight",
                       "model.layers.0.self_attn.kv_a_proj_with_mqa.weight", "adapter.0.weight"});
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
    EXPECT_THAT(std::string(checkpoint.status().message()),
                AllOf(HasSubstr(file), HasSubstr("beside the weights"),
                      HasSubstr("merge_and_unload()"), HasSubstr("move its files away")));
  }
  // That of another run, in a folder of its own, is no part of the model.
  Stage stage;
  tiny.files = {{"checkpoint-100/adapter_config.json", "{}"}};
  EXPECT_TRUE(OpenCheckpoint(stage.Write("m", tiny), "m").ok());
}

}  // namespace
}  // namespace merganser
