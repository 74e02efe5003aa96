#include "common/linalg/product_svd.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace merganser {
namespace {

FactorColumns Normal(size_t length, size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  FactorColumns columns(length, count);
  for (size_t k = 0; k < count; ++k) {
    for (size_t i = 0; i < length; ++i) columns.column(k)[i] = normal(random);
  }
  return columns;
}

FactorColumns Copy(const FactorColumns& from) {
  FactorColumns to(from.length(), from.count());
  for (size_t k = 0; k < from.count(); ++k) {
    std::copy_n(from.column(k), from.length(), to.column(k));
  }
  return to;
}

// Row-major.
std::vector<double> Matrix(const FactorColumns& left, const FactorColumns& right) {
  std::vector<double> out(left.length() * right.length());
  for (size_t i = 0; i < left.length(); ++i) {
    for (size_t j = 0; j < right.length(); ++j) {
      for (size_t k = 0; k < left.count(); ++k) {
        out[i * right.length() + j] += left.column(k)[i] * right.column(k)[j];
      }
    }
  }
  return out;
}

double Squares(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return sum;
}

// The distance of V^T V from the identity, V of vectors of `length`.
double Unorthogonal(const std::vector<double>& vectors, size_t length) {
  double worst = 0;
  for (size_t a = 0; a < vectors.size() / length; ++a) {
    for (size_t b = 0; b <= a; ++b) {
      double dot = 0;
      for (size_t i = 0; i < length; ++i) dot += vectors[a * length + i] * vectors[b * length + i];
      worst = std::max(worst, std::abs(dot - (a == b ? 1 : 0)));
    }
  }
  return worst;
}

void ExpectDecomposes(const FactorColumns& left, const FactorColumns& right, size_t rank) {
  SerialExecutor executor;
  const auto svd = DecomposeProduct(Copy(left), Copy(right), executor);
  ASSERT_TRUE(svd.ok()) << svd.status();
  const Triplets& t = svd->triplets;
  ASSERT_EQ(static_cast<size_t>(t.k), rank);
  ASSERT_EQ(t.sigma.size(), rank);
  const size_t m = left.length(), n = right.length();
  ASSERT_EQ(t.u.size(), rank * m);
  ASSERT_EQ(t.v.size(), rank * n);
  EXPECT_LT(Unorthogonal(t.u, m), 1e-13);
  EXPECT_LT(Unorthogonal(t.v, n), 1e-13);
  EXPECT_TRUE(std::is_sorted(t.sigma.rbegin(), t.sigma.rend()));
  std::vector<double> rest = Matrix(left, right);
  const double squares = Squares(rest);
  EXPECT_NEAR(svd->squares, squares, 1e-12 * squares);
  for (size_t k = 0; k < rank; ++k) {
    for (size_t i = 0; i < m; ++i) {
      for (size_t j = 0; j < n; ++j)
        rest[i * n + j] -= t.sigma[k] * t.u[k * m + i] * t.v[k * n + j];
    }
    const auto largest =
        std::max_element(t.u.begin() + static_cast<std::ptrdiff_t>(k * m),
                         t.u.begin() + static_cast<std::ptrdiff_t>((k + 1) * m),
                         [](double a, double b) { return std::abs(a) < std::abs(b); });
    EXPECT_GT(*largest, 0);
  }
  EXPECT_LT(std::sqrt(Squares(rest)), 1e-13 * std::sqrt(squares));
}

TEST(DecomposeProduct, IsTheSumAtAnyShape) {
  for (const auto& [m, n, rank] : {std::tuple<size_t, size_t, size_t>{40, 30, 5},
                                   {30, 40, 5},
                                   {17, 33, 1},
                                   {1, 9, 1},
                                   {9, 1, 1},
                                   {64, 64, 16},
                                   {5, 200, 4},
                                   {200, 5, 4}}) {
    SCOPED_TRACE(testing::Message() << m << " x " << n << ", rank " << rank);
    ExpectDecomposes(Normal(m, rank, 1), Normal(n, rank, 2), rank);
  }
}

TEST(DecomposeProduct, MoreTermsThanTheMatrixHasSides) {
  ExpectDecomposes(Normal(6, 20, 3), Normal(9, 20, 4), 6);
  ExpectDecomposes(Normal(9, 20, 3), Normal(6, 20, 4), 6);
  ExpectDecomposes(Normal(9, 7, 3), Normal(6, 7, 4), 6);
}

TEST(DecomposeProduct, HasTheValuesThatItWasMadeOf) {
  // Orthogonal columns: unit vectors, so that the values are known.
  FactorColumns left(7, 3), right(5, 3);
  const double values[] = {1e-6, 3, 2};
  for (size_t k = 0; k < 3; ++k) {
    left.column(k)[2 * k] = -values[k];
    right.column(k)[k + 1] = 1;
  }
  SerialExecutor executor;
  const auto svd = DecomposeProduct(std::move(left), std::move(right), executor);
  ASSERT_TRUE(svd.ok()) << svd.status();
  ASSERT_EQ(svd->triplets.sigma.size(), 3U);
  EXPECT_DOUBLE_EQ(svd->triplets.sigma[0], 3);
  EXPECT_DOUBLE_EQ(svd->triplets.sigma[1], 2);
  EXPECT_NEAR(svd->triplets.sigma[2], 1e-6, 1e-20);
  EXPECT_DOUBLE_EQ(svd->triplets.u[2], 1);
  EXPECT_DOUBLE_EQ(svd->triplets.v[2], -1);
}

TEST(DecomposeProduct, EqualTermsHaveTheRankOfOne) {
  const FactorColumns left = Normal(40, 3, 1), right = Normal(30, 3, 2);
  FactorColumns twice(40, 6), along(30, 6);
  for (size_t k = 0; k < 6; ++k) {
    std::copy_n(left.column(k % 3), 40, twice.column(k));
    std::copy_n(right.column(k % 3), 30, along.column(k));
  }
  ExpectDecomposes(twice, along, 3);
}

TEST(DecomposeProduct, OfTermsThatCancelNothingIsLeft) {
  const FactorColumns left = Normal(40, 3, 1), right = Normal(30, 3, 2);
  FactorColumns both(40, 6), along(30, 6);
  for (size_t k = 0; k < 6; ++k) {
    for (size_t i = 0; i < 40; ++i) both.column(k)[i] = (k < 3 ? 1 : -1) * left.column(k % 3)[i];
    std::copy_n(right.column(k % 3), 30, along.column(k));
  }
  SerialExecutor executor;
  const auto svd = DecomposeProduct(std::move(both), std::move(along), executor);
  ASSERT_TRUE(svd.ok()) << svd.status();
  EXPECT_EQ(svd->triplets.k, 0);
  EXPECT_EQ(svd->squares, 0);
}

TEST(DecomposeProduct, ZerosHaveNoRank) {
  SerialExecutor executor;
  for (const size_t count : {size_t{0}, size_t{1}, size_t{4}}) {
    const auto svd = DecomposeProduct(FactorColumns(5, count), FactorColumns(7, count), executor);
    ASSERT_TRUE(svd.ok()) << svd.status();
    EXPECT_EQ(svd->triplets.k, 0);
  }
  // One side alone, as adapters have it before training.
  const auto svd = DecomposeProduct(FactorColumns(5, 2), Normal(7, 2, 1), executor);
  ASSERT_TRUE(svd.ok()) << svd.status();
  EXPECT_EQ(svd->triplets.k, 0);
}

TEST(DecomposeProduct, DoesNotDependOnThreads) {
  // So long that few columns are a block.
  const FactorColumns left = Normal(9000, 24, 1), right = Normal(11000, 24, 2);
  SerialExecutor serial;
  ThreadPool pool(3);
  const auto one = DecomposeProduct(Copy(left), Copy(right), serial);
  const auto other = DecomposeProduct(Copy(left), Copy(right), pool);
  ASSERT_TRUE(one.ok() && other.ok());
  EXPECT_EQ(one->triplets.u, other->triplets.u);
  EXPECT_EQ(one->triplets.v, other->triplets.v);
  EXPECT_EQ(one->triplets.sigma, other->triplets.sigma);
}

TEST(DecomposeProduct, WhatOverflowsIsRefused) {
  SerialExecutor executor;
  FactorColumns left(3, 1), right(3, 1);
  left.column(0)[1] = 1e200;
  right.column(0)[1] = 1e200;
  const auto svd = DecomposeProduct(std::move(left), std::move(right), executor);
  EXPECT_TRUE(absl::IsOutOfRange(svd.status())) << svd.status();
}

TEST(ProductSquares, SeesADifferenceFarBelowItsTerms) {
  // L R^T - (L R^T + E): what is left is E, ten digits below.
  FactorColumns left(40, 3), right(30, 3);
  const FactorColumns of = Normal(40, 1, 1), along = Normal(30, 1, 2), small = Normal(30, 1, 3);
  for (size_t i = 0; i < 40; ++i) {
    left.column(0)[i] = left.column(2)[i] = of.column(0)[i];
    left.column(1)[i] = -of.column(0)[i];
  }
  for (size_t j = 0; j < 30; ++j) {
    right.column(0)[j] = right.column(1)[j] = along.column(0)[j];
    right.column(2)[j] = 1e-10 * small.column(0)[j];
  }
  const double expected = 1e-20 * Squares(Matrix(of, small));
  SerialExecutor executor;
  const auto squares = ProductSquares(std::move(left), std::move(right), executor);
  ASSERT_TRUE(squares.ok()) << squares.status();
  EXPECT_NEAR(*squares, expected, 1e-4 * expected);
}

}  // namespace
}  // namespace merganser
