#include "common/adapters/product_factors.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/linalg/block_ops.h"
#include "common/linalg/convert.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

constexpr size_t kRows = 50, kCols = 34;

FactorColumns Normal(size_t length, size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  FactorColumns columns(length, count);
  for (size_t k = 0; k < count; ++k) {
    for (size_t i = 0; i < length; ++i) columns.column(k)[i] = normal(random);
  }
  return columns;
}

std::vector<double> Doubles(const std::vector<std::byte>& bytes, DType dtype) {
  const uint64_t count = bytes.size() / BytesPerElement(dtype);
  std::vector<double> values(linalg::PadLanes(count));
  linalg::LoadDoubles({bytes.data(), dtype, count}, values.data());
  return values;
}

// The squares of left right^T, and of that less what is stored.
std::pair<double, double> Measured(const FactorColumns& left, const FactorColumns& right,
                                   const LoraFactors& factors, DType dtype) {
  const std::vector<double> rows = Doubles(factors.rows_by_rank, dtype);
  const std::vector<double> cols = Doubles(factors.rank_by_cols, dtype);
  std::pair<double, double> squares;
  for (size_t i = 0; i < left.length(); ++i) {
    for (size_t j = 0; j < right.length(); ++j) {
      double value = 0;
      for (size_t k = 0; k < left.count(); ++k) value += left.column(k)[i] * right.column(k)[j];
      squares.first += value * value;
      for (size_t k = 0; k < factors.rank; ++k) {
        value -= rows[i * factors.rank + k] * cols[k * right.length() + j];
      }
      squares.second += value * value;
    }
  }
  return squares;
}

TEST(FactorProduct, LosesARoundingWhereThereIsRoom) {
  SerialExecutor executor;
  for (const auto& [dtype, unit] : {std::pair(DType::kF32, 0x1p-24), {DType::kBF16, 0x1p-9}}) {
    const auto factors =
        FactorProduct(Normal(kRows, 5, 1), Normal(kCols, 5, 2), {100, {}}, dtype, executor);
    ASSERT_TRUE(factors.ok()) << factors.status();
    EXPECT_EQ(factors->rank, 5U);
    const auto [all, lost] = Measured(Normal(kRows, 5, 1), Normal(kCols, 5, 2), *factors, dtype);
    EXPECT_NEAR(factors->squares, all, 1e-12 * all);
    EXPECT_LT(lost, 16 * unit * unit * all);
    EXPECT_NEAR(factors->lost, lost, 1e-6 * lost);
    EXPECT_GT(lost, 0);
  }
}

TEST(FactorProduct, LosesTheTailOfTheValuesElse) {
  SerialExecutor executor;
  const auto all =
      FactorProduct(Normal(kRows, 5, 1), Normal(kCols, 5, 2), {5, {}}, DType::kF32, executor);
  ASSERT_TRUE(all.ok()) << all.status();
  const auto two =
      FactorProduct(Normal(kRows, 5, 1), Normal(kCols, 5, 2), {2, {}}, DType::kF32, executor);
  ASSERT_TRUE(two.ok()) << two.status();
  EXPECT_EQ(two->rank, 2U);
  EXPECT_EQ(two->squares, all->squares);
  double tail = 0;
  for (size_t k = 2; k < 5; ++k) tail += all->sigma[k] * all->sigma[k];
  EXPECT_NEAR(two->lost, tail, 1e-6 * tail);
  EXPECT_NEAR(two->lost,
              Measured(Normal(kRows, 5, 1), Normal(kCols, 5, 2), *two, DType::kF32).second,
              1e-9 * tail);
}

TEST(FactorProduct, TakesTheLeastRankOfTheEnergy) {
  SerialExecutor executor;
  const double values[] = {1, 3, 2};  // 14 squares: 9, 13 and 14 of them
  for (const auto& [energy, rank] :
       {std::pair(0.5, uint64_t{1}), {9.5 / 14, 2}, {0.999, 3}, {1.0, 3}}) {
    FactorColumns l(4, 3), r(4, 3);
    for (size_t k = 0; k < 3; ++k) {
      l.column(k)[k] = values[k];
      r.column(k)[k] = 1;
    }
    const auto factors =
        FactorProduct(std::move(l), std::move(r), {3, energy}, DType::kF32, executor);
    ASSERT_TRUE(factors.ok()) << factors.status();
    EXPECT_EQ(factors->rank, rank) << energy;
  }
}

TEST(FactorProduct, NothingHasNoRank) {
  SerialExecutor executor;
  const auto factors =
      FactorProduct(FactorColumns(9, 2), Normal(8, 2, 1), {2, {}}, DType::kF32, executor);
  ASSERT_TRUE(factors.ok()) << factors.status();
  EXPECT_EQ(factors->rank, 0U);
}

TEST(FactorProduct, WhatOverflowsTheDtypeIsRefused) {
  SerialExecutor executor;
  FactorColumns left(3, 1), right(3, 1);
  left.column(0)[0] = 1e6;
  right.column(0)[1] = 1e6;
  const auto factors =
      FactorProduct(std::move(left), std::move(right), {1, {}}, DType::kF16, executor);
  EXPECT_TRUE(absl::IsOutOfRange(factors.status())) << factors.status();
  EXPECT_NE(factors.status().message().find("--dtype float32"), std::string::npos);
}

}  // namespace
}  // namespace merganser
