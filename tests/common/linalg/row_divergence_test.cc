#include "common/linalg/row_divergence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "common/linalg/block_ops.h"
#include "common/linalg/kernels.h"
#include "common/linalg/random_block.h"

namespace merganser::linalg {
namespace {

constexpr uint64_t kSeed = 71;

struct Row {
  size_t n;
  std::vector<double> w, delta;  // padded
};

Row MakeRow(size_t n, double spread, double change, uint64_t stream) {
  Row row{n, std::vector<double>(PadLanes(n)), std::vector<double>(PadLanes(n))};
  for (size_t j = 0; j < n; ++j) {
    row.w[j] = spread * RandomEntry(kSeed, stream, j);
    row.delta[j] = change * RandomEntry(kSeed, stream + 1000, j);
  }
  return row;
}

// The definition, in long double: d_j = p_j (x_j - log1p(x_j)), x = (r - p) / p.
std::vector<long double> Definition(const Row& row) {
  long double zp = 0, zr = 0;
  for (size_t j = 0; j < row.n; ++j) {
    zp += std::exp(static_cast<long double>(row.w[j]));
    zr += std::exp(static_cast<long double>(row.w[j]) + row.delta[j]);
  }
  const long double level = std::log(zr / zp);
  std::vector<long double> d;
  for (size_t j = 0; j < row.n; ++j) {
    const long double y = row.delta[j] - level;
    const long double p = std::exp(static_cast<long double>(row.w[j])) / zp;
    d.push_back(p * (std::expm1(y) - y));
  }
  return d;
}

double Divergence(const Row& row, std::vector<double>* each) {
  std::vector<double> terms(PadLanes(row.n));
  const SoftmaxRow soft = SoftmaxTerms(row.w.data(), row.n, terms.data());
  if (each != nullptr) each->assign(PadLanes(row.n), -1);
  return ReverseKl(soft, row.w.data(), terms.data(), row.delta.data(), row.n,
                   each == nullptr ? nullptr : each->data());
}

void ExpectAccurate(const Row& row, double relative) {
  std::vector<double> each;
  const double sum = Divergence(row, &each);
  const std::vector<long double> wanted = Definition(row);
  long double total = 0;
  for (size_t j = 0; j < row.n; ++j) {
    total += wanted[j];
    const double d = static_cast<double>(wanted[j]);
    EXPECT_GE(each[j], 0);
    EXPECT_NEAR(each[j], d, relative * d + 1e-18) << "element " << j << " of " << row.n;
  }
  EXPECT_NEAR(sum, static_cast<double>(total), relative * static_cast<double>(total) + 1e-18);
  EXPECT_EQ(Divergence(row, nullptr), sum);
}

TEST(RowDivergenceTest, SmallChangesKeepTheirDigits) {
  uint64_t stream = 1;
  for (const size_t n : {1u, 2u, 15u, 16u, 17u, 64u, 1000u, 4099u}) {
    for (const double change : {1e-6, 1e-4, 1e-3, 0.01, 0.1}) {
      SCOPED_TRACE(change);
      Row row = MakeRow(n, 0.1, change, ++stream);
      ExpectAccurate(row, 1e-9 + 1e-16 / change);
    }
  }
}

TEST(RowDivergenceTest, LargeChangesAndSpreads) {
  uint64_t stream = 900;
  for (const double spread : {0.0, 1.0, 5.0, 40.0}) {
    for (const double change : {0.3, 1.0, 3.0, 20.0}) {
      SCOPED_TRACE(spread);
      SCOPED_TRACE(change);
      std::vector<double> each;
      const Row row = MakeRow(333, spread, change, ++stream);
      const double sum = Divergence(row, &each);
      long double total = 0;
      for (const long double d : Definition(row)) total += d;
      EXPECT_NEAR(sum, static_cast<double>(total), 1e-12 * (1 + static_cast<double>(total)));
    }
  }
}

TEST(RowDivergenceTest, NoChangeIsExactlyZero) {
  Row row = MakeRow(100, 1, 0, 5);
  std::vector<double> each;
  EXPECT_EQ(Divergence(row, &each), 0);
  for (const double d : each) EXPECT_EQ(d, 0);
}

TEST(RowDivergenceTest, AShiftOfTheWholeRowIsNoChange) {
  for (const double shift : {0.125, -0.125, 8.0}) {
    Row row = MakeRow(100, 1, 0, 6);
    for (size_t j = 0; j < row.n; ++j) row.delta[j] = shift;
    EXPECT_EQ(Divergence(row, nullptr), 0) << shift;
  }
}

TEST(RowDivergenceTest, ProbabilitiesThatVanishGiveNoNaN) {
  Row row = MakeRow(40, 1, 0.1, 7);
  row.w[3] = -5000;
  row.w[4] = 5000;
  row.delta[3] = 100;
  std::vector<double> each;
  EXPECT_TRUE(std::isfinite(Divergence(row, &each)));
  for (size_t j = 0; j < row.n; ++j) EXPECT_TRUE(std::isfinite(each[j])) << j;
}

TEST(RowDivergenceTest, TheTermsMayReplaceTheDelta) {
  for (const double change : {0.01, 2.0}) {
    Row row = MakeRow(77, 1, change, 8);
    std::vector<double> apart;
    const double sum = Divergence(row, &apart);
    std::vector<double> terms(PadLanes(row.n));
    const SoftmaxRow soft = SoftmaxTerms(row.w.data(), row.n, terms.data());
    EXPECT_EQ(
        ReverseKl(soft, row.w.data(), terms.data(), row.delta.data(), row.n, row.delta.data()),
        sum);
    EXPECT_EQ(row.delta, apart);
  }
}

}  // namespace
}  // namespace merganser::linalg
