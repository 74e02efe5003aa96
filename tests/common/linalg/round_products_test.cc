#include "common/linalg/round_products.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/common/linalg/linalg_testing.h"

namespace merganser {
namespace {

double Once(double product, double scale, DType dtype, double total = 0) {
  linalg::AddRoundedProducts(&product, 1, scale, dtype, &total);
  return total;
}

TEST(RoundProducts, KnownAnswers) {
  // 257 = 2^8 + 1 lies between 256 and 258 of bfloat16, at the tie: to even.
  EXPECT_EQ(Once(257, 1, DType::kBF16), 256);
  EXPECT_EQ(Once(259, 1, DType::kBF16), 260);
  EXPECT_EQ(Once(257, 1, DType::kF16), 257);
  EXPECT_EQ(Once(2049, 1, DType::kF16), 2048);
  EXPECT_EQ(Once(-257, 2, DType::kBF16), -512);
  // What is there is added to exactly.
  EXPECT_EQ(Once(257, 1, DType::kBF16, 0.125), 256.125);
  EXPECT_EQ(Once(0, 3, DType::kBF16, 7), 7);
  // A sum just above the tie falls on it as float32, and to even from there.
  EXPECT_EQ(Once(257 + 0x1p-20, 1, DType::kBF16), 256);
  EXPECT_EQ(Once(257 + 0x1p-14, 1, DType::kBF16), 258);
  // 1/3 as float32 times 3 is 1 and a rounding more, which float32 takes away.
  EXPECT_EQ(Once(3, 1.0 / 3, DType::kF16), 1);
  // Subnormals of float16 have a fixed last place.
  EXPECT_EQ(Once(0x1.8p-24, 1, DType::kF16), 0x1p-23);
  EXPECT_EQ(Once(0x1p-25, 1, DType::kF16), 0);
}

TEST(RoundProducts, WhatDoesNotFitIsInfinite) {
  EXPECT_EQ(Once(65519, 1, DType::kF16), 65504);
  EXPECT_EQ(Once(65520, 1, DType::kF16), std::numeric_limits<double>::infinity());
  EXPECT_EQ(Once(65520, 1, DType::kBF16), 65536);
  EXPECT_EQ(Once(-1e300, 1, DType::kBF16), -std::numeric_limits<double>::infinity());
  EXPECT_FALSE(std::isfinite(Once(1e30, 1e30, DType::kBF16)));
}

TEST(RoundProducts, EachElementByItself) {
  const std::vector<double> products = RandomValues(3, 1003, 10);
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    std::vector<double> total = RandomValues(4, products.size());
    std::vector<double> want = total;
    for (size_t i = 0; i < products.size(); ++i) {
      const double scaled = RoundTo(DType::kF32, products[i]) * RoundTo(DType::kF32, 0.7);
      want[i] += RoundTo(dtype, RoundTo(DType::kF32, scaled));
    }
    linalg::AddRoundedProducts(products.data(), products.size(), 0.7, dtype, total.data());
    EXPECT_EQ(total, want);
  }
}

}  // namespace
}  // namespace merganser
