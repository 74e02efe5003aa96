// Quantised and packed weights are refused by name, and a config that says so of plain ones is told
// to be what is wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/checkpoint.h"
#include "tests/common/checkpoint/stage.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Quantised : public ::testing::Test {
 protected:
  // What opening says; empty where it goes on.
  std::string Said(const TinyCheckpoint& tiny) {
    const auto opened = OpenCheckpoint(stage_.Write(absl::StrCat("m", ++count_), tiny), "m");
    if (opened.ok()) return "";
    EXPECT_EQ(opened.status().code(), absl::StatusCode::kInvalidArgument) << opened.status();
    return std::string(opened.status().message());
  }
  static TinyCheckpoint Plain(std::string config = "{}") {
    TinyCheckpoint tiny;
    tiny.tensors = {{"model.layers.0.mlp.up_proj.weight", DType::kBF16, {4, 4}}};
    tiny.config = std::move(config);
    return tiny;
  }
  static TinyCheckpoint With(std::vector<TinyTensor> tensors, std::string config = "{}") {
    TinyCheckpoint tiny = Plain(std::move(config));
    for (TinyTensor& tensor : tensors) tiny.tensors.push_back(std::move(tensor));
    return tiny;
  }

  Stage stage_{/*in_memory=*/true};
  int count_ = 0;
};

TEST_F(Quantised, AKeyThatIsLeftOverOnPlainWeightsIsToldAsThat) {
  EXPECT_THAT(
      Said(Plain(R"({"quantization_config": {"quant_method": "bitsandbytes"}})")),
      AllOf(HasSubstr("config.json: key 'quantization_config' (method 'bitsandbytes')"),
            HasSubstr("'model.layers.0.mlp.up_proj.weight' is BF16"),
            HasSubstr("remove the key from config.json"), Not(HasSubstr("dequantise it first"))));
  EXPECT_THAT(
      Said(Plain(R"({"compression_config": {}})")),
      AllOf(HasSubstr("key 'compression_config' (method 'unnamed')"), HasSubstr("remove the key")));
  EXPECT_THAT(Said(Plain(R"({"quantization": {"bits": 4}, "quantization_config": {"bits": 4}})")),
              AllOf(HasSubstr("keys 'quantization', 'quantization_config' (method 'mlx')"),
                    HasSubstr("remove the keys")));
}

TEST_F(Quantised, PackedWeightsWithTheirConfigAreToBeDequantised) {
  const std::string config = R"({"quantization_config": {"quant_method": "x"}})";
  for (const TinyTensor& packed : std::vector<TinyTensor>{
           {"l.qweight", DType::kI32, {2, 4}},
           {"l.weight", DType::kF8E4M3, {2, 4}},
           {"l.weight", DType::kU8, {8, 1}},  // bitsandbytes, whatever lies beside it
           {"l.weight", DType::kI8, {2, 4}}}) {
    EXPECT_THAT(Said(With({packed}, config)),
                AllOf(HasSubstr("config.json: quantization_config (method 'x')"),
                      HasSubstr("dequantise it first"), Not(HasSubstr("remove the key"))))
        << packed.name;
  }
}

TEST_F(Quantised, PackedWeightsWithoutAConfigAreFoundByTheirScales) {
  struct Case {
    TinyTensor packed, scales;
  };
  for (const Case& c : std::vector<Case>{
           {{"e.gate_up_proj_blocks", DType::kI8, {2, 8, 1, 16}},  // no MXFP4 of gpt-oss: of U8
            {"e.gate_up_proj_scales", DType::kU8, {2, 8, 1}}},
           {{"l.weight", DType::kU32, {8, 2}}, {"l.scales", DType::kBF16, {8, 1}}},  // MLX
           {{"l.weight", DType::kI8, {8, 8}}, {"l.SCB", DType::kF32, {8}}},
           {{"l.weight_packed", DType::kI32, {8, 2}}, {"l.weight_scale", DType::kBF16, {8, 1}}},
           {{"l.codes", DType::kI16, {8, 2, 1}}, {"l.codebooks", DType::kF16, {1, 256, 1, 8}}},
           {{"e.w1_q", DType::kI8, {2, 8}}, {"e.w1_q_scale", DType::kF32, {8}}}}) {
    EXPECT_THAT(Said(With({c.packed, c.scales})),
                AllOf(HasSubstr("model.safetensors: tensor '"), HasSubstr("quantised"),
                      HasSubstr("dequantise it first")))
        << c.packed.name;
  }
  EXPECT_THAT(Said(With({{"e.gate_up_proj_blocks", DType::kU8, {2, 16}},
                         {"e.gate_up_proj_scales", DType::kU8, {2, 1}}})),
              HasSubstr("'e.gate_up_proj_blocks' of dtype U8 (with 'e.gate_up_proj_scales')"));
  // Fused experts of FP8 that were cast, and lost nothing but their meaning.
  EXPECT_THAT(Said(With({{"e.gate_up_proj_scale_inv", DType::kF32, {2, 1, 1}}})),
              HasSubstr("dequantise it first"));
}

// What healthy families have: masks, positions, scales of their own.
TEST_F(Quantised, IntegersAndScalesOfPlainModelsAreNot) {
  EXPECT_EQ(Said(With({{"h.0.attn.bias", DType::kU8, {1, 1, 8, 8}},
                       {"h.0.attn.scale", DType::kF32, {1}},
                       {"attn.relative_position_index", DType::kI32, {4, 4}},
                       {"attn.scale", DType::kF32, {1}},
                       {"m.position_ids", DType::kI64, {1, 8}},
                       {"m.scales", DType::kF32, {8}},
                       {"m.attn_mask", DType::kU8, {8, 8}},
                       {"norm.scale", DType::kBF16, {8}},
                       {"logit_scale", DType::kF32, {}},
                       {"experts.gate_up_proj", DType::kBF16, {2, 4, 4}},
                       {"experts.gate_up_proj_bias", DType::kBF16, {2, 4}},
                       {"vocab.table", DType::kI32, {8, 2}}})),
            "");
}

}  // namespace
}  // namespace merganser
