#include "common/adapters/lora_factors.h"

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "common/linalg/block_ops.h"
#include "common/linalg/convert.h"
#include "gtest/gtest.h"
#include "tests/testing/tiny_checkpoint.h"

namespace merganser {
namespace {

struct Pair {
  std::string base, expert;
  int64_t rows = 0, cols = 0;
  DType dtype = DType::kF64;

  TaskVector Delta() const {
    const auto elements = static_cast<uint64_t>(rows * cols);
    const auto view = [&](const std::string& bytes) {
      return TensorView{reinterpret_cast<const std::byte*>(bytes.data()), dtype, elements};
    };
    return {view(base), view(expert), rows, cols};
  }
};

std::vector<double> Normal(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<double> values(count);
  for (double& value : values) value = normal(random);
  return values;
}

// delta = left [rows, rank] right [rank, cols].
Pair LowRank(int64_t rows, int64_t cols, size_t rank, DType dtype = DType::kF64) {
  const auto m = static_cast<size_t>(rows), n = static_cast<size_t>(cols);
  const std::vector<double> left = Normal(m * rank, 1), right = Normal(rank * n, 2);
  std::vector<double> base = Normal(m * n, 3), expert = base;
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) {
      for (size_t k = 0; k < rank; ++k) expert[i * n + j] += left[i * rank + k] * right[k * n + j];
    }
  }
  return {EncodeTiny(dtype, base), EncodeTiny(dtype, expert), rows, cols, dtype};
}

std::vector<double> Doubles(const std::vector<std::byte>& bytes, DType dtype) {
  const uint64_t count = bytes.size() / BytesPerElement(dtype);
  std::vector<double> values(linalg::PadLanes(count));
  linalg::LoadDoubles({bytes.data(), dtype, count}, values.data());
  values.resize(count);
  return values;
}

// ||delta - product||^2, element by element.
double Error(const Pair& pair, const LoraFactors& factors, DType dtype) {
  const auto m = static_cast<size_t>(pair.rows), n = static_cast<size_t>(pair.cols);
  const std::vector<double> left = Doubles(factors.rows_by_rank, dtype);
  const std::vector<double> right = Doubles(factors.rank_by_cols, dtype);
  std::vector<double> delta(linalg::PadLanes(m * n));
  const TaskVector both = pair.Delta();
  linalg::LoadDelta(both.base, both.expert, 1.0, delta.data());
  double sum = 0;
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) {
      double rest = delta[i * n + j];
      for (size_t k = 0; k < factors.rank; ++k) {
        rest -= left[i * factors.rank + k] * right[k * n + j];
      }
      sum += rest * rest;
    }
  }
  return sum;
}

TEST(FactorDifference, FindsAnUpdateOfLowRankAgain) {
  ThreadPool pool(1);
  for (const auto& [rows, cols] :
       {std::pair<int64_t, int64_t>{7, 300}, {90, 70}, {1, 5}, {130, 3}}) {
    const size_t rank = static_cast<size_t>(std::min<int64_t>(3, std::min(rows, cols)));
    const Pair pair = LowRank(rows, cols, rank);
    const auto factors = FactorDifference(pair.Delta(), {64, 1 - 1e-9}, DType::kF32, pool);
    ASSERT_TRUE(factors.ok()) << factors.status();
    EXPECT_EQ(factors->rank, rank);
    EXPECT_EQ(factors->sigma.size(), rank);
    EXPECT_LT(Error(pair, *factors, DType::kF32), 1e-13 * factors->squares);
    EXPECT_NEAR(factors->lost, Error(pair, *factors, DType::kF32), 1e-14 * factors->squares);
  }
}

TEST(FactorDifference, WithoutEnergyTakesAllThatIsAsked) {
  SerialExecutor executor;
  const Pair pair = LowRank(90, 70, 70);
  const auto all = FactorDifference(pair.Delta(), {1000, {}}, DType::kF32, executor);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->rank, 70U);
  EXPECT_LT(all->lost, 1e-11 * all->squares);
  const auto some = FactorDifference(pair.Delta(), {8, {}}, DType::kF32, executor);
  ASSERT_TRUE(some.ok()) << some.status();
  EXPECT_EQ(some->rank, 8U);
  double kept = 0;
  for (const double sigma : some->sigma) kept += sigma * sigma;
  EXPECT_NEAR(some->squares, all->squares, 1e-9 * all->squares);
  EXPECT_NEAR(some->lost, some->squares - kept, 1e-6 * some->squares);
}

TEST(FactorDifference, BothWaysRoundHoldTheSame) {
  SerialExecutor executor;
  const Pair pair = LowRank(9, 14, 2, DType::kF32);
  const auto factors = FactorDifference(pair.Delta(), {2, {}}, DType::kBF16, executor);
  ASSERT_TRUE(factors.ok()) << factors.status();
  const auto turned = [&](const std::vector<std::byte>& a, const std::vector<std::byte>& b,
                          size_t length) {
    const std::vector<double> one = Doubles(a, DType::kBF16), other = Doubles(b, DType::kBF16);
    for (size_t i = 0; i < length; ++i) {
      for (size_t k = 0; k < 2; ++k) EXPECT_EQ(one[i * 2 + k], other[k * length + i]);
    }
  };
  turned(factors->rows_by_rank, factors->rank_by_rows, 9);
  turned(factors->cols_by_rank, factors->rank_by_cols, 14);
}

TEST(FactorDifference, EqualTensorsHaveNoRank) {
  SerialExecutor executor;
  Pair pair = LowRank(90, 70, 1);
  pair.expert = pair.base;
  const auto factors = FactorDifference(pair.Delta(), {2, {}}, DType::kF32, executor);
  ASSERT_TRUE(factors.ok()) << factors.status();
  EXPECT_EQ(factors->rank, 0U);
}

TEST(FactorDifference, WhatOverflowsTheDtypeIsRefused) {
  SerialExecutor executor;
  Pair pair = LowRank(4, 4, 1);
  std::vector<double> expert(16, 0.0), base(16, 0.0);
  expert[5] = 1e12;
  pair.base = EncodeTiny(DType::kF64, base);
  pair.expert = EncodeTiny(DType::kF64, expert);
  const auto half = FactorDifference(pair.Delta(), {1, {}}, DType::kF16, executor);
  EXPECT_TRUE(absl::IsOutOfRange(half.status())) << half.status();
  EXPECT_NE(half.status().message().find("--dtype float32"), std::string::npos);
  const auto full = FactorDifference(pair.Delta(), {1, {}}, DType::kF32, executor);
  ASSERT_TRUE(full.ok()) << full.status();
  EXPECT_NEAR(full->sigma[0], 1e12, 1);
}

}  // namespace
}  // namespace merganser
