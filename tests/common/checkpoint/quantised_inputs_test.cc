// Checkpoints that are stored block-scaled: what opening takes them for, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/alignment.h"
#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/decoded.h"
#include "common/checkpoint/scale_blocks.h"
#include "tests/common/checkpoint/stage.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kFp8[] =
    R"({"torch_dtype": "bfloat16", "quantization_config": {"quant_method": "fp8",
        "activation_scheme": "dynamic", "fmt": "e4m3", "weight_block_size": [128, 128]}})";
constexpr char kTensors[] =
    R"({"quantization_config": {"quant_method": "compressed-tensors", "format": "float-quantized"}})";
constexpr char kMxfp4[] = R"({"quantization_config": {"quant_method": "mxfp4"}})";
constexpr char kW[] = "model.layers.0.mlp.up_proj.weight";
constexpr char kScale[] = "model.layers.0.mlp.up_proj.weight_scale";
constexpr char kInverse[] = "model.layers.0.mlp.up_proj.weight_scale_inv";

class QuantisedInputs : public ::testing::Test {
 protected:
  static TinyCheckpoint Tiny(std::vector<TinyTensor> tensors, std::string config = "{}",
                             size_t shards = 1) {
    TinyCheckpoint tiny;
    tiny.tensors = {{"model.norm.weight", DType::kBF16, {8}}};
    for (TinyTensor& tensor : tensors) tiny.tensors.push_back(std::move(tensor));
    tiny.config = std::move(config);
    tiny.shards = shards;
    return tiny;
  }
  Checkpoint Opened(const TinyCheckpoint& tiny) {
    return stage_.Make(absl::StrCat("m", ++count_), tiny);
  }
  std::string Refused(const TinyCheckpoint& tiny) {
    const auto opened = OpenCheckpoint(stage_.Write(absl::StrCat("m", ++count_), tiny), "m");
    EXPECT_EQ(opened.status().code(), absl::StatusCode::kInvalidArgument) << opened.status();
    return std::string(opened.status().message());
  }
  // The only tensor beside the norm.
  static const CheckpointTensor& Decoded(const Checkpoint& model) {
    EXPECT_EQ(model.tensors.size(), 2u);
    for (const CheckpointTensor& tensor : model.tensors) {
      if (tensor.name == "model.norm.weight") continue;
      EXPECT_TRUE(tensor.scales.has_value());
      EXPECT_EQ(model.Find(tensor.name), &tensor);
      return tensor;
    }
    ADD_FAILURE() << "nothing decoded";
    return model.tensors[0];
  }

  Stage stage_{/*in_memory=*/true};
  int count_ = 0;
};

TEST_F(QuantisedInputs, BlocksOfDeepSeek) {
  const Checkpoint model =
      Opened(Tiny({{kW, DType::kF8E4M3, {129, 130}}, {kInverse, DType::kF32, {2, 2}}}, kFp8));
  const CheckpointTensor& tensor = Decoded(model);
  EXPECT_EQ(tensor.name, kW);
  EXPECT_THAT(tensor.shape, ElementsAre(129, 130));
  EXPECT_EQ(tensor.dtype, DType::kBF16);
  EXPECT_EQ(tensor.coded, DType::kF8E4M3);
  EXPECT_EQ(tensor.size, 129u * 130);
  EXPECT_EQ(tensor.scales->code, BlockCode::kScaled);
  EXPECT_EQ(tensor.scales->block_rows, 128u);
  EXPECT_EQ(tensor.scales->block_cols, 128u);
  EXPECT_FALSE(tensor.scales->transposed);
  EXPECT_EQ(tensor.scales->scales.dtype, DType::kF32);
  EXPECT_EQ(tensor.scales->scales.elements, 4u);
  EXPECT_THAT(model.warnings, IsEmpty());
  EXPECT_THAT(
      model.notes,
      ElementsAre(AllOf(HasSubstr("1 tensor stored as F8_E4M3 with scales is decoded to BF16"),
                        HasSubstr(kW))));
  EXPECT_THAT(QuantisedKeys(model), Not(IsEmpty()));
}

TEST_F(QuantisedInputs, ScalesMayLieInAnotherShard) {
  const Checkpoint model =
      Opened(Tiny({{kW, DType::kF8E4M3, {8, 8}}, {kInverse, DType::kF32, {1, 1}}}, kFp8, 3));
  const CheckpointTensor& tensor = Decoded(model);
  EXPECT_EQ(tensor.shard, 1u);
  EXPECT_EQ(tensor.scales->scales.shard, 2u);
}

TEST_F(QuantisedInputs, TheDtypeIsTheConfigs) {
  const std::vector<TinyTensor> tensors = {{kW, DType::kF8E5M2, {4, 4}},
                                           {kScale, DType::kBF16, {4, 1}}};
  const auto dtype = [&](const char* config) {
    return Decoded(Opened(Tiny(tensors, config))).dtype;
  };
  EXPECT_EQ(dtype("{}"), DType::kBF16);
  EXPECT_EQ(dtype(R"({"torch_dtype": "float32"})"), DType::kF32);
  EXPECT_EQ(dtype(R"({"dtype": "float16"})"), DType::kF16);
  EXPECT_EQ(dtype(R"({"torch_dtype": "float64"})"), DType::kBF16);
  EXPECT_EQ(dtype(R"({"text_config": {"dtype": "float32"}})"), DType::kF32);
  EXPECT_EQ(dtype(R"({"dtype": "bfloat16", "text_config": {"dtype": "float32"}})"), DType::kBF16);
}

TEST_F(QuantisedInputs, ScalesOfRowsAndOfAll) {
  struct Case {
    const char* method;
    Shape scales;
    BlockSize blocks;
  };
  for (const Case& c : std::vector<Case>{{"compressed-tensors", {6, 1}, {1, 10}},
                                         {"compressed-tensors", {1}, {6, 10}},
                                         {"compressed-tensors", {}, {6, 10}},
                                         {"fbgemm_fp8", {6, 1}, {1, 10}},
                                         {"modelopt", {}, {6, 10}},
                                         {"fp8", {}, {6, 10}}}) {
    const Checkpoint model = Opened(
        Tiny({{kW, DType::kF8E4M3, {6, 10}}, {kScale, DType::kBF16, c.scales}},
             absl::StrCat(R"({"quantization_config": {"quant_method": ")", c.method, R"("}})")));
    const CheckpointTensor& tensor = Decoded(model);
    EXPECT_EQ(BlockSize(tensor.scales->block_rows, tensor.scales->block_cols), c.blocks)
        << c.method;
  }
}

TEST_F(QuantisedInputs, ScalesOfActivationsAreLeftOut) {
  const Checkpoint model = Opened(Tiny({{kW, DType::kF8E4M3, {6, 10}},
                                        {kScale, DType::kF32, {}},
                                        {"model.layers.0.mlp.up_proj.input_scale", DType::kF32, {}},
                                        {"model.layers.0.self_attn.k_scale", DType::kF32, {1}},
                                        {"e.gate_up_proj_input_scale", DType::kF32, {1}},
                                        {"m.input_scale_ub", DType::kF32, {1}}},
                                       kTensors));
  Decoded(model);
  ASSERT_EQ(model.notes.size(), 2u);
  EXPECT_THAT(model.notes[1],
              AllOf(HasSubstr("input_scale'"), HasSubstr("and 1 more are left out")));
}

TEST_F(QuantisedInputs, FusedExperts) {
  const Checkpoint model = Opened(Tiny({{"e.gate_up_proj", DType::kF8E4M3, {3, 129, 130}},
                                        {"e.gate_up_proj_scale_inv", DType::kF32, {3, 2, 2}}},
                                       kFp8));
  EXPECT_EQ(Decoded(model).scales->scales.elements, 12u);
}

TEST_F(QuantisedInputs, BlocksOfGptOssBecomeTheirTransposedForm) {
  const Checkpoint model =
      Opened(Tiny({{"m.experts.gate_up_proj_blocks", DType::kU8, {2, 6, 3, 16}},
                   {"m.experts.gate_up_proj_scales", DType::kU8, {2, 6, 3}},
                   {"m.experts.gate_up_proj_bias", DType::kBF16, {2, 6}}},
                  kMxfp4));
  const CheckpointTensor* tensor = model.Find("m.experts.gate_up_proj");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(model.tensors.size(), 3u);
  EXPECT_EQ(tensor->stored, "m.experts.gate_up_proj_blocks");
  EXPECT_THAT(tensor->shape, ElementsAre(2, 96, 6));
  EXPECT_EQ(tensor->dtype, DType::kBF16);
  EXPECT_EQ(tensor->coded, DType::kF4);
  EXPECT_EQ(tensor->scales->code, BlockCode::kMxfp4);
  EXPECT_TRUE(tensor->scales->transposed);
  EXPECT_EQ(tensor->scales->block_rows, 1u);
  EXPECT_EQ(tensor->scales->block_cols, 32u);
  EXPECT_EQ(tensor->scales->scales.dtype, DType::kF8E8M0);
  EXPECT_EQ(tensor->scales->scales.elements, 36u);
}

TEST_F(QuantisedInputs, PairsOfDeepSeek) {
  for (const DType stored : {DType::kI8, DType::kF4}) {
    const uint64_t columns = stored == DType::kI8 ? 32 : 64;
    const Checkpoint model = Opened(Tiny(
        {{"l.w1.weight", stored, {5, columns}}, {"l.w1.scale", DType::kF8E8M0, {5, 2}}}, kFp8));
    const CheckpointTensor& tensor = Decoded(model);
    EXPECT_THAT(tensor.shape, ElementsAre(5, 64));
    EXPECT_EQ(tensor.coded, DType::kF4);
    EXPECT_FALSE(tensor.scales->transposed);
    EXPECT_EQ(tensor.scales->block_cols, 32u);
  }
  // Its dense layers.
  const Checkpoint model = Opened(Tiny(
      {{"l.wq.weight", DType::kF8E4M3, {129, 8}}, {"l.wq.scale", DType::kF8E8M0, {2, 1}}}, kFp8));
  EXPECT_EQ(Decoded(model).scales->block_rows, 128u);
}

TEST_F(QuantisedInputs, ValuesWithoutScales) {
  EXPECT_THAT(Refused(Tiny({{kW, DType::kF8E4M3, {8, 8}}}, kFp8)),
              AllOf(HasSubstr("model.safetensors: tensor '"), HasSubstr("of dtype F8_E4M3"),
                    HasSubstr(absl::StrCat("expected '", kInverse, "' or '", kScale, "'")),
                    HasSubstr("dequantise it")));
  EXPECT_THAT(Refused(Tiny({{"e.down_proj_blocks", DType::kU8, {2, 6, 3, 16}}}, kMxfp4)),
              AllOf(HasSubstr("'e.down_proj_blocks' has no scales"),
                    HasSubstr("expected 'e.down_proj_scales'")));
}

TEST_F(QuantisedInputs, ScalesWithoutValues) {
  const TinyTensor values = {kW, DType::kF8E4M3, {8, 8}}, scales = {kInverse, DType::kF32, {1, 1}};
  EXPECT_THAT(Refused(Tiny({values, scales, {"l.weight_scale_inv", DType::kF32, {1, 1}}}, kFp8)),
              AllOf(HasSubstr("'l.weight_scale_inv'"), HasSubstr("scales without values"),
                    HasSubstr("'l.weight' is not there")));
  EXPECT_THAT(Refused(Tiny({values,
                            scales,
                            {"l.weight", DType::kBF16, {8, 8}},
                            {"l.weight_scale_inv", DType::kF32, {1, 1}}},
                           kFp8)),
              HasSubstr("'l.weight' is BF16"));
  EXPECT_THAT(Refused(Tiny({{"e.a_blocks", DType::kU8, {2, 6, 3, 16}},
                            {"e.a_scales", DType::kU8, {2, 6, 3}},
                            {"e.b_scales", DType::kU8, {2, 6, 3}}},
                           kMxfp4)),
              AllOf(HasSubstr("'e.b_scales'"), HasSubstr("'e.b_blocks' is not there")));
}

TEST_F(QuantisedInputs, ScalesOfTheWrongShape) {
  for (const Shape& shape :
       std::vector<Shape>{{1, 2}, {2, 1}, {2, 2, 1}, {4}, {}, {129, 1}, {0, 2}}) {
    EXPECT_THAT(
        Refused(Tiny({{kW, DType::kF8E4M3, {129, 130}}, {kInverse, DType::kF32, shape}}, kFp8)),
        AllOf(HasSubstr(absl::StrCat("tensor '", kInverse, "': found shape [")),
              HasSubstr("expected one for each block of 128 x 128"), HasSubstr("[129, 130]")));
  }
  EXPECT_THAT(
      Refused(Tiny({{kW, DType::kF8E4M3, {129, 130}}, {kScale, DType::kF32, {3, 3}}}, kTensors)),
      HasSubstr("expected one for all, for each row"));
  EXPECT_THAT(
      Refused(
          Tiny({{"e.a_blocks", DType::kU8, {2, 6, 3, 16}}, {"e.a_scales", DType::kU8, {2, 3, 6}}},
               kMxfp4)),
      AllOf(HasSubstr("'e.a_scales': found shape [2, 3, 6]"), HasSubstr("expected [2, 6, 3]")));
  EXPECT_THAT(Refused(Tiny(
                  {{"e.a_blocks", DType::kU8, {2, 6, 3, 8}}, {"e.a_scales", DType::kU8, {2, 6, 3}}},
                  kMxfp4)),
              HasSubstr("expected [experts, rows, groups, 16]"));
  EXPECT_THAT(
      Refused(Tiny({{"l.weight", DType::kI8, {5, 32}}, {"l.scale", DType::kF8E8M0, {5, 1}}}, kFp8)),
      HasSubstr("expected [5, 2]"));
}

TEST_F(QuantisedInputs, ScalesOfOtherTypesAndTwoOfThem) {
  EXPECT_THAT(
      Refused(Tiny({{kW, DType::kF8E4M3, {8, 8}}, {kScale, DType::kI32, {8, 1}}}, kTensors)),
      AllOf(HasSubstr(kScale), HasSubstr("found dtype I32"), HasSubstr("expected F32, BF16")));
  EXPECT_THAT(Refused(Tiny({{kW, DType::kF8E4M3, {8, 8}},
                            {kScale, DType::kF32, {8, 1}},
                            {kInverse, DType::kF32, {1, 1}}},
                           kFp8)),
              AllOf(HasSubstr("found scales for it in"), HasSubstr("expected one of them")));
}

TEST_F(QuantisedInputs, BlocksBesideTheTensorThatTheyBecome) {
  EXPECT_THAT(Refused(Tiny({{"e.a_blocks", DType::kU8, {2, 6, 3, 16}},
                            {"e.a_scales", DType::kU8, {2, 6, 3}},
                            {"e.a", DType::kBF16, {2, 96, 6}}},
                           kMxfp4)),
              AllOf(HasSubstr("'e.a'"), HasSubstr("is there as it is and as blocks")));
}

TEST_F(QuantisedInputs, OtherWaysToQuantiseAreRefusedByNameWithWhatUnpacksThem) {
  const auto config = [](const char* method) {
    return absl::StrCat(R"({"quantization_config": {"quant_method": ")", method, R"("}})");
  };
  EXPECT_THAT(Refused(Tiny({{"l.weight", DType::kU8, {8, 8}},
                            {"l.weight_scale", DType::kF8E4M3, {8, 1}},
                            {"l.weight_scale_2", DType::kF32, {}}},
                           config("modelopt"))),
              AllOf(HasSubstr("(NVFP4)"), HasSubstr("dequantise it first")));
  EXPECT_THAT(
      Refused(Tiny({{"l.weight_packed", DType::kI32, {8, 1}},
                    {"l.weight_scale", DType::kBF16, {8, 1}},
                    {"l.weight_shape", DType::kI64, {2}}},
                   kTensors)),
      AllOf(HasSubstr("packed INT4"), HasSubstr("CompressedTensorsConfig(dequantize=True)")));
  EXPECT_THAT(
      Refused(Tiny({{"l.weight", DType::kI8, {8, 8}}, {"l.weight_scale", DType::kBF16, {8, 1}}},
                   kTensors)),
      HasSubstr("(INT8)"));
  EXPECT_THAT(Refused(Tiny({{"l.qweight", DType::kI32, {1, 8}}}, config("awq"))),
              AllOf(HasSubstr("(AWQ)"), HasSubstr("GPTQModel")));
  EXPECT_THAT(
      Refused(Tiny({{"l.weight", DType::kU8, {32, 1}}, {"l.weight.absmax", DType::kF32, {1}}},
                   config("bitsandbytes"))),
      AllOf(HasSubstr("(bitsandbytes)"), HasSubstr("model.dequantize()")));
  EXPECT_THAT(Refused(Tiny({{"l.W_q", DType::kU8, {32, 1}}}, config("hqq"))), HasSubstr("(HQQ)"));
  // Some tensors decoded, and others that cannot be.
  EXPECT_THAT(Refused(Tiny({{kW, DType::kF8E4M3, {8, 8}},
                            {kScale, DType::kF32, {8, 1}},
                            {"l.weight_packed", DType::kI32, {8, 1}},
                            {"l.weight_scale", DType::kBF16, {8, 1}}},
                           kTensors)),
              AllOf(HasSubstr("'l.weight_packed'"), HasSubstr("packed INT4")));
}

// Base and experts may be stored in other ways: they are held against each other as decoded.
TEST_F(QuantisedInputs, QuantisedAndPlainModelsAlign) {
  const Checkpoint base =
      Opened(Tiny({{kW, DType::kF8E4M3, {129, 130}}, {kInverse, DType::kF32, {2, 2}}}, kFp8));
  const Checkpoint plain = Opened(Tiny({{kW, DType::kBF16, {129, 130}}}));
  for (const auto& models : {std::vector<const Checkpoint*>{&base, &plain},
                             std::vector<const Checkpoint*>{&plain, &base}}) {
    const auto aligned = AlignModels(models, {}, {});
    ASSERT_TRUE(aligned.ok()) << aligned.status();
    EXPECT_THAT(aligned->warnings, IsEmpty());
    EXPECT_EQ(aligned->tensors.size(), 2u);
  }
  const Checkpoint packed = Opened(Tiny({{"e.gate_up_proj_blocks", DType::kU8, {2, 6, 1, 16}},
                                         {"e.gate_up_proj_scales", DType::kU8, {2, 6, 1}}},
                                        kMxfp4));
  const Checkpoint fused = Opened(Tiny({{"e.gate_up_proj", DType::kBF16, {2, 32, 6}}}));
  const auto aligned = AlignModels({&packed, &fused}, {}, {});
  ASSERT_TRUE(aligned.ok()) << aligned.status();
  EXPECT_FALSE(aligned->tensors[0].copied);
  EXPECT_FALSE(aligned->tensors[1].copied);
}

}  // namespace
}  // namespace merganser
