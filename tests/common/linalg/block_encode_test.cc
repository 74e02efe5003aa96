// Values as FP8 and MXFP4 by the rules of FORMAT.md, against a search through all codes.
#include "common/linalg/block_encode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "common/linalg/block_decode.h"
#include "common/tensor/float_codec.h"

namespace merganser {
namespace {

struct Encoded {
  std::vector<std::byte> codes, scales;
  BlockRounding rounding;
};

struct Blocks {
  uint64_t rows = 1, cols = 1;
};

uint64_t Ceil(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

BlockBand BandOf(uint64_t rows, uint64_t cols, Blocks blocks, const std::vector<float>& values) {
  BlockBand band;
  band.rows = rows;
  band.cols = cols;
  band.block_rows = blocks.rows;
  band.block_cols = blocks.cols;
  band.values = values.data();
  band.row_stride = cols;
  return band;
}

Encoded Encode(const BlockForm& form, BlockBand band) {
  Encoded out;
  const uint64_t bits = form.coded == DType::kF4 ? 4 : 8;
  out.codes.resize(band.rows * band.cols * bits / 8);
  out.scales.resize(Ceil(band.rows, band.block_rows) * Ceil(band.cols, band.block_cols) *
                    BytesPerElement(form.scale));
  band.codes = out.codes.data();
  band.scales = out.scales.data();
  out.rounding = EncodeBlocks(form, band);
  return out;
}

Encoded Encode(const BlockForm& form, uint64_t rows, uint64_t cols, Blocks blocks,
               const std::vector<float>& values) {
  return Encode(form, BandOf(rows, cols, blocks, values));
}

uint32_t CodeAt(const BlockForm& form, const std::vector<std::byte>& codes, uint64_t i) {
  if (form.coded != DType::kF4) return static_cast<uint32_t>(codes[i]);
  return static_cast<uint32_t>(codes[i / 2]) >> (i % 2 * 4) & 15;
}

float ValueOf(const BlockForm& form, uint32_t code) {
  if (form.coded == DType::kF4) return E2m1Values()[code];
  return form.coded == DType::kF8E5M2 ? E5m2Values()[code] : E4m3Values()[code];
}

// The code whose value is nearest to `value`, of two the even one.
uint32_t Nearest(const BlockForm& form, float value) {
  const uint32_t codes = form.coded == DType::kF4 ? 16 : 256;
  uint32_t best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (uint32_t code = 0; code < codes; ++code) {
    const float candidate = ValueOf(form, code);
    if (!std::isfinite(candidate) || std::signbit(candidate) != std::signbit(value)) continue;
    const double distance = std::abs(static_cast<double>(candidate) - value);
    if (distance < least || (distance == least && code % 2 == 0)) {
      least = distance;
      best = code;
    }
  }
  return best;
}

class EveryFormat : public ::testing::TestWithParam<DType> {
 protected:
  BlockForm Form() const {
    BlockForm form;
    form.coded = GetParam();
    if (form.coded == DType::kF4) form.scale = DType::kF8E8M0;
    return form;
  }
  float Most() const {
    return GetParam() == DType::kF4 ? 6 : GetParam() == DType::kF8E5M2 ? 57344 : 448;
  }
};

// With the largest value of the format in the block, the scale is one: values are their own.
TEST_P(EveryFormat, EveryValueAndWhatLiesBetweenIsRoundedToTheNearest) {
  const BlockForm form = Form();
  std::vector<float> values = {Most(), -0.0F};
  std::vector<float> exact;
  for (uint32_t code = 0; code < (form.coded == DType::kF4 ? 16U : 256U); ++code) {
    if (std::isfinite(ValueOf(form, code))) exact.push_back(ValueOf(form, code));
  }
  std::sort(exact.begin(), exact.end());
  for (size_t i = 0; i + 1 < exact.size(); ++i) {
    const float middle = (exact[i] + exact[i + 1]) / 2;
    for (const float value :
         {exact[i], middle, std::nextafter(middle, -1e30F), std::nextafter(middle, 1e30F)}) {
      values.push_back(value);
    }
  }
  if (values.size() % 2 != 0) values.push_back(0);
  const Encoded out = Encode(form, 1, values.size(), {1, values.size()}, values);
  EXPECT_EQ(ScaleValue(form.scale, out.scales.data()), 1);
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(CodeAt(form, out.codes, i), Nearest(form, values[i])) << values[i];
  }
  EXPECT_EQ(out.rounding.blocks, 1);
  EXPECT_EQ(out.rounding.kept, 0);
}

TEST_P(EveryFormat, TheErrorIsThatOfWhatIsReadBack) {
  const BlockForm form = Form();
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> values(6 * 64);
  for (float& value : values) value = normal(random);
  const Blocks blocks = form.coded == DType::kF4 ? Blocks{1, 32} : Blocks{4, 24};
  const Encoded out = Encode(form, 6, 64, blocks, values);
  const uint64_t across = Ceil(64, blocks.cols);
  double error = 0, energy = 0;
  for (uint64_t row = 0; row < 6; ++row) {
    for (uint64_t col = 0; col < 64; ++col) {
      const uint64_t block = row / blocks.rows * across + col / blocks.cols;
      const float scale =
          ScaleValue(form.scale, out.scales.data() + block * BytesPerElement(form.scale));
      const double value = values[row * 64 + col];
      const double back =
          static_cast<double>(ValueOf(form, CodeAt(form, out.codes, row * 64 + col))) * scale;
      error += (value - back) * (value - back);
      energy += value * value;
    }
  }
  EXPECT_NEAR(out.rounding.error, error, 1e-12 * error);
  EXPECT_NEAR(out.rounding.energy, energy, 1e-12 * energy);
  EXPECT_GT(error, 0);
  EXPECT_EQ(out.rounding.blocks, Ceil(6, blocks.rows) * across);
}

TEST_P(EveryFormat, WhatWasDecodedKeepsItsBytes) {
  const BlockForm form = Form();
  std::mt19937 random(4);
  const Blocks blocks = form.coded == DType::kF4 ? Blocks{1, 32} : Blocks{2, 48};
  constexpr uint64_t kRows = 5, kCols = 96;
  // Scales that no rule here would choose.
  std::vector<std::byte> codes(kRows * kCols * (form.coded == DType::kF4 ? 4 : 8) / 8);
  for (std::byte& code : codes) {
    uint32_t drawn = random() % 256;
    while (form.coded != DType::kF4 && !std::isfinite(ValueOf(form, drawn))) drawn = random() % 256;
    code = static_cast<std::byte>(drawn);
  }
  const uint64_t across = kCols / blocks.cols;
  std::vector<std::byte> scales(Ceil(kRows, blocks.rows) * across * BytesPerElement(form.scale));
  for (size_t i = 0; i < scales.size() / BytesPerElement(form.scale); ++i) {
    const float scale = 0.001F * static_cast<float>(random() % 1000 + 1);
    if (form.scale == DType::kF8E8M0) {
      scales[i] = static_cast<std::byte>(100 + random() % 40);
    } else {
      std::memcpy(scales.data() + i * sizeof scale, &scale, sizeof scale);
    }
  }
  std::vector<float> values(kRows * kCols);
  for (uint64_t i = 0; i < values.size(); ++i) {
    const uint64_t block = i / kCols / blocks.rows * across + i % kCols / blocks.cols;
    const float scale = ScaleValue(form.scale, scales.data() + block * BytesPerElement(form.scale));
    values[i] = Bf16ToFloat(DoubleToBf16(ValueOf(form, CodeAt(form, codes, i)) * scale));
  }
  BlockBand band = BandOf(kRows, kCols, blocks, values);
  band.original_codes = codes.data();
  band.original_scales = scales.data();
  const Encoded same = Encode(form, band);
  EXPECT_EQ(same.codes, codes);
  EXPECT_EQ(same.scales, scales);
  EXPECT_EQ(same.rounding.kept, same.rounding.blocks);
  EXPECT_EQ(same.rounding.error, 0);
  // One value else: its block alone is encoded anew.
  values[2 * kCols + 1] += 0.125F;
  const Encoded other = Encode(form, band);
  EXPECT_EQ(other.rounding.kept + 1, other.rounding.blocks);
  const uint64_t anew = 2 / blocks.rows * across;
  const uint64_t width = BytesPerElement(form.scale);
  for (uint64_t i = 0; i < scales.size(); ++i) {
    if (i / width != anew) {
      EXPECT_EQ(other.scales[i], scales[i]) << i;
    }
  }
  for (uint64_t i = 0; i < values.size(); ++i) {
    if (i / kCols / blocks.rows * across + i % kCols / blocks.cols != anew) {
      EXPECT_EQ(CodeAt(form, other.codes, i), CodeAt(form, codes, i)) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, EveryFormat,
                         ::testing::Values(DType::kF8E4M3, DType::kF8E5M2, DType::kF4));

TEST(BlockEncode, AnFp8ScaleIsTheLargestMagnitudeOverTheLargestValue) {
  BlockForm form;
  const std::vector<float> values = {0.5F, -7, 0, 3, 0, 0, 0, 0};
  const Encoded out = Encode(form, 2, 4, {1, 4}, values);
  EXPECT_EQ(ScaleValue(DType::kF32, out.scales.data()), 7.0F / 448);
  EXPECT_EQ(ScaleValue(DType::kF32, out.scales.data() + 4), 1) << "of zeros";
  EXPECT_EQ(CodeAt(form, out.codes, 1), 0xfeU);
  form.coded = DType::kF8E5M2;
  EXPECT_EQ(ScaleValue(DType::kF32, Encode(form, 2, 4, {1, 4}, values).scales.data()),
            7.0F / 57344);
}

TEST(BlockEncode, ScalesThatArePowersOfTwoAreRoundedUp) {
  BlockForm form;
  form.powers_of_two = true;
  // 448 is itself no power of two: 7 / 448 is one, and the next float above is not.
  const std::vector<float> values = {7, std::nextafter(7.0F, 8.0F)};
  const Encoded out = Encode(form, 2, 1, {1, 1}, values);
  EXPECT_EQ(ScaleValue(DType::kF32, out.scales.data()), 1.0F / 64);
  EXPECT_EQ(ScaleValue(DType::kF32, out.scales.data() + 4), 1.0F / 32);
  form.scale = DType::kF8E8M0;
  form.powers_of_two = false;
  const Encoded bytes = Encode(form, 2, 1, {1, 1}, values);
  EXPECT_EQ(bytes.scales[0], std::byte{121});
  EXPECT_EQ(bytes.scales[1], std::byte{122});
}

// Values are divided by the scale that is stored.
TEST(BlockEncode, ScalesOfFewerBitsAreRoundedFirst) {
  for (const DType scale : {DType::kBF16, DType::kF16}) {
    BlockForm form;
    form.scale = scale;
    const std::vector<float> values = {1.2345F, 1.2F, -0.3F, 0.01F};
    const Encoded out = Encode(form, 1, 4, {1, 4}, values);
    const float stored = ScaleValue(scale, out.scales.data());
    const double exact = 1.2345F / 448.0F;
    EXPECT_EQ(stored, scale == DType::kBF16 ? Bf16ToFloat(DoubleToBf16(exact))
                                            : HalfToFloat(DoubleToHalf(exact)));
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(CodeAt(form, out.codes, i), Nearest(form, values[i] / stored)) << i;
    }
  }
}

// The exponent of the largest less that of 6, and what does not fit is saturated.
TEST(BlockEncode, TheSharedExponentOfMxfp4) {
  BlockForm form;
  form.coded = DType::kF4;
  form.scale = DType::kF8E8M0;
  std::vector<float> values(3 * 32);
  values[0] = 7.9F;     // 2^2: saturated to 6
  values[1] = -5;       // a tie of 4 and 6: even
  values[32] = 0.011F;  // 2^-7
  const Encoded out = Encode(form, 3, 32, {1, 32}, values);
  EXPECT_EQ(out.scales[0], std::byte{127});
  EXPECT_EQ(CodeAt(form, out.codes, 0), 7U);
  EXPECT_EQ(CodeAt(form, out.codes, 1), 14U);
  EXPECT_EQ(out.scales[1], std::byte{127 - 9});
  EXPECT_EQ(out.scales[2], std::byte{0}) << "of zeros: the least";
}

TEST(BlockEncode, TinyAndHugeValuesHaveAScale) {
  for (const DType scale : {DType::kF32, DType::kBF16, DType::kF16, DType::kF8E8M0}) {
    BlockForm form;
    form.scale = scale;
    for (const float most : {1e-45F, 1e-40F, 3e38F}) {
      const Encoded out = Encode(form, 1, 2, {1, 2}, {most, 0});
      const float stored = ScaleValue(scale, out.scales.data());
      EXPECT_GT(stored, 0) << most;
      EXPECT_TRUE(std::isfinite(stored)) << most;
      EXPECT_EQ(CodeAt(form, out.codes, 0), Nearest(form, most / stored)) << most;
    }
  }
}

// A matrix that lies the other way round in memory.
TEST(BlockEncode, StridesDoNotMatter) {
  BlockForm form;
  form.coded = DType::kF4;
  form.scale = DType::kF8E8M0;
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  constexpr uint64_t kRows = 7, kCols = 64;
  std::vector<float> values(kRows * kCols), turned(kRows * kCols);
  for (uint64_t row = 0; row < kRows; ++row) {
    for (uint64_t col = 0; col < kCols; ++col) {
      turned[col * kRows + row] = values[row * kCols + col] = normal(random);
    }
  }
  const Encoded straight = Encode(form, kRows, kCols, {1, 32}, values);
  BlockBand band = BandOf(kRows, kCols, {1, 32}, turned);
  band.row_stride = 1;
  band.col_stride = kRows;
  const Encoded other = Encode(form, band);
  EXPECT_EQ(other.codes, straight.codes);
  EXPECT_EQ(other.scales, straight.scales);
  EXPECT_NEAR(other.rounding.error, straight.rounding.error, 1e-12);
}

}  // namespace
}  // namespace merganser
