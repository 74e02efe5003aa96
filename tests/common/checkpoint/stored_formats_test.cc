#include "common/checkpoint/stored_formats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/common/checkpoint/stage.h"

namespace merganser {
namespace {

using ::testing::SizeIs;

constexpr char kFp8[] =
    R"({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}})";

class StoredFormatsTest : public ::testing::Test {
 protected:
  std::vector<StoredFormat> Of(std::vector<TinyTensor> tensors, const std::string& config = "{}") {
    TinyCheckpoint tiny;
    tiny.tensors = std::move(tensors);
    tiny.config = config;
    return StoredFormatsOf(stage_.Make(absl::StrCat("m", ++count_), tiny));
  }
  std::string Told(std::vector<TinyTensor> tensors, const std::string& config = "{}") {
    return DescribeFormats(Of(std::move(tensors), config));
  }

  Stage stage_{/*in_memory=*/true};
  int count_ = 0;
};

TEST_F(StoredFormatsTest, OneFormatIsItsName) {
  EXPECT_EQ(Told({{"a.weight", DType::kBF16, {2, 3}}, {"b.weight", DType::kBF16, {4}}}), "BF16");
}

TEST_F(StoredFormatsTest, SeveralAreCountedAndThatOfMostElementsStandsFirst) {
  const std::vector<StoredFormat> formats = Of({{"model.norm.weight", DType::kF32, {8}},
                                                {"a.weight", DType::kBF16, {2, 3}},
                                                {"b.weight", DType::kBF16, {4}}});
  ASSERT_THAT(formats, SizeIs(2));
  EXPECT_EQ(formats[0].tensors, 2u);
  EXPECT_EQ(formats[0].elements, 10u);
  EXPECT_FALSE(formats[0].scales.has_value());
  EXPECT_EQ(DescribeFormats(formats), "BF16 (2 tensors), F32 (1 tensor)");
}

TEST_F(StoredFormatsTest, BlocksOfDeepSeekAlsoWhereAMatrixIsSmaller) {
  const std::vector<StoredFormat> formats = Of({{"a.weight", DType::kF8E4M3, {129, 130}},
                                                {"a.weight_scale_inv", DType::kF32, {2, 2}},
                                                {"b.weight", DType::kF8E4M3, {3, 5}},
                                                {"b.weight_scale_inv", DType::kF32, {1, 1}},
                                                {"model.norm.weight", DType::kBF16, {8}}},
                                               kFp8);
  EXPECT_EQ(DescribeFormats(formats), "FP8 E4M3 with 128x128 blocks (2 tensors), BF16 (1 tensor)");
  ASSERT_TRUE(formats[0].scales.has_value());
  EXPECT_EQ(*formats[0].scales, (ScalesOfFormat{DType::kF32, 128, 128}));
}

TEST_F(StoredFormatsTest, RowsColumnsAndWholeMatrices) {
  const auto fp8 = [&](Shape scales) {
    return Told({{"a.weight", DType::kF8E4M3, {6, 4}}, {"a.weight_scale", DType::kF32, scales}});
  };
  EXPECT_EQ(fp8({6, 1}), "FP8 E4M3 with a scale a row");
  EXPECT_EQ(fp8({1, 4}), "FP8 E4M3 with a scale a column");
  EXPECT_EQ(fp8({}), "FP8 E4M3 with a scale a matrix");
  EXPECT_EQ(fp8({3, 2}), "FP8 E4M3 with 2x2 blocks");
  EXPECT_EQ(fp8({3, 1}), "FP8 E4M3 with a scale for 2 rows");
  EXPECT_EQ(fp8({1, 2}), "FP8 E4M3 with a scale for 2 columns");
}

TEST_F(StoredFormatsTest, ARowsScaleOfAMatrixOfOneRowIsOne) {
  EXPECT_EQ(Told({{"a.weight", DType::kF8E5M2, {6, 4}},
                  {"a.weight_scale", DType::kF32, {6, 1}},
                  {"b.weight", DType::kF8E5M2, {1, 3}},
                  {"b.weight_scale", DType::kF32, {1, 1}}}),
            "FP8 E5M2 with a scale a row");
}

TEST_F(StoredFormatsTest, BlocksOfFourBits) {
  EXPECT_EQ(Told({{"model.layers.0.mlp.experts.down_proj_blocks", DType::kU8, {2, 3, 1, 16}},
                  {"model.layers.0.mlp.experts.down_proj_scales", DType::kU8, {2, 3, 1}}},
                 R"({"quantization_config": {"quant_method": "mxfp4"}})"),
            "MXFP4 with blocks of 32");
}

TEST_F(StoredFormatsTest, ALongListIsCut) {
  EXPECT_EQ(Told({{"a", DType::kBF16, {7}},
                  {"b", DType::kF16, {6}},
                  {"c", DType::kF32, {5}},
                  {"d", DType::kF64, {4}},
                  {"e", DType::kI64, {3}},
                  {"f", DType::kBool, {2}}}),
            "BF16 (1 tensor), F16 (1 tensor), F32 (1 tensor), F64 (1 tensor), and 2 more formats");
}

TEST_F(StoredFormatsTest, WhatAdaptersBringIsNotTheModels) {
  TinyCheckpoint tiny;
  tiny.tensors = {{"a.weight", DType::kBF16, {2, 3}}, {"b.weight", DType::kF32, {4}}};
  Checkpoint model = stage_.Make("m", tiny);
  ASSERT_THAT(model.shards, SizeIs(1));
  CheckpointShard brought = model.shards[0];
  brought.place = 1;
  model.shards.push_back(brought);
  for (CheckpointTensor& tensor : model.tensors) {
    if (tensor.name == "b.weight") tensor.shard = 1;
  }
  EXPECT_EQ(DescribeFormats(StoredFormatsOf(model)), "BF16");
}

TEST(DescribeFormatsTest, OfNothingNothingIsSaid) { EXPECT_EQ(DescribeFormats({}), ""); }

}  // namespace
}  // namespace merganser
