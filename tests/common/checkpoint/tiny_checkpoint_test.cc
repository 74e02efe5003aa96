// The helper that other tests stand on.
#include "tests/testing/tiny_checkpoint.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "common/storage/stores.h"

namespace merganser {
namespace {

uint16_t Encode16(DType dtype, double value) {
  const std::string bytes = EncodeTiny(dtype, {value});
  uint16_t bits = 0;
  EXPECT_EQ(bytes.size(), sizeof(bits));
  std::memcpy(&bits, bytes.data(), sizeof(bits));
  return bits;
}

TEST(TinyCheckpoint, EncodesHalvesToNearestEven) {
  EXPECT_EQ(Encode16(DType::kF16, 0.0), 0x0000);
  EXPECT_EQ(Encode16(DType::kF16, -0.0), 0x8000);
  EXPECT_EQ(Encode16(DType::kF16, 1.0), 0x3C00);
  EXPECT_EQ(Encode16(DType::kF16, -2.0), 0xC000);
  EXPECT_EQ(Encode16(DType::kF16, 65504.0), 0x7BFF);
  EXPECT_EQ(Encode16(DType::kF16, 65519.0), 0x7BFF);
  EXPECT_EQ(Encode16(DType::kF16, 65520.0), 0x7C00);
  EXPECT_EQ(Encode16(DType::kF16, 1.0 + 1.0 / 2048), 0x3C00) << "a tie goes to even";
  EXPECT_EQ(Encode16(DType::kF16, 1.0 + 3.0 / 2048), 0x3C02);
  EXPECT_EQ(Encode16(DType::kF16, 2.0 - 1.0 / 4096), 0x4000) << "a carry";
  EXPECT_EQ(Encode16(DType::kF16, std::ldexp(1.0, -14)), 0x0400);
  EXPECT_EQ(Encode16(DType::kF16, std::ldexp(1.0, -24)), 0x0001);
  EXPECT_EQ(Encode16(DType::kF16, std::ldexp(1.0, -25)), 0x0000);
  EXPECT_EQ(Encode16(DType::kF16, INFINITY), 0x7C00);
  EXPECT_EQ(Encode16(DType::kBF16, 1.0), 0x3F80);
  EXPECT_EQ(Encode16(DType::kBF16, 1.0 + 1.0 / 256), 0x3F80);
  EXPECT_EQ(Encode16(DType::kBF16, 1.0 + 3.0 / 256), 0x3F82);
  EXPECT_EQ(Encode16(DType::kBF16, -INFINITY), 0xFF80);
}

TEST(TinyCheckpoint, GeneratesModestFloatsThatDependOnSeedAndName) {
  const TinyTensor tensor{"a", DType::kF32, {1000}};
  const std::string bytes = TinyBytes(tensor, 1);
  ASSERT_EQ(bytes.size(), 4000u);
  int negative = 0;
  for (size_t i = 0; i < bytes.size(); i += 4) {
    float value = 0;
    std::memcpy(&value, bytes.data() + i, 4);
    ASSERT_GE(std::fabs(value), std::ldexp(1.0f, -9));
    ASSERT_LT(std::fabs(value), 1.0f);
    negative += value < 0;
  }
  EXPECT_GT(negative, 400);
  EXPECT_LT(negative, 600);
  EXPECT_EQ(TinyBytes(tensor, 1), bytes);
  EXPECT_NE(TinyBytes(tensor, 2), bytes);
  EXPECT_NE(TinyBytes({"b", DType::kF32, {1000}}, 1), bytes);
}

TEST(TinyCheckpoint, GivenBytesMustFillTheirTensor) {
  TinyCheckpoint tiny;
  tiny.tensors = {{"a", DType::kF32, {2}, "1234"}};
  EXPECT_EQ(TinyFiles(tiny).status().code(), absl::StatusCode::kInvalidArgument);
  tiny.tensors[0].bytes = "12345678";
  tiny.files = {{"tokenizer.json", "{}"}};
  const auto files = TinyFiles(tiny);
  ASSERT_TRUE(files.ok());
  EXPECT_EQ(files->size(), 3u);
  EXPECT_TRUE(files->at("model.safetensors").ends_with("12345678"));
}

TEST(TinyCheckpoint, WritesBelowAPrefix) {
  TinyCheckpoint tiny;
  tiny.tensors = {{"a", DType::kF32, {2}}};
  const auto store = Stores().Open("memory://tiny-prefix");
  ASSERT_TRUE(store.ok());
  ASSERT_TRUE(WriteTinyCheckpoint(tiny, **store, "x/y/").ok());
  EXPECT_TRUE((*store)->Stat("x/y/model.safetensors")->has_value());
}

}  // namespace
}  // namespace merganser
