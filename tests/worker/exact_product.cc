#include "tests/worker/exact_product.h"

#include <cstddef>
#include <random>

#include "gtest/gtest.h"
#include "tests/testing/tiny_checkpoint.h"

namespace merganser {
namespace {

// Multiples of 1/64 below 4.
std::vector<double> Values(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<double> values(count);
  for (double& value : values) value = static_cast<double>(random() % 512) / 64 - 4;
  return values;
}

}  // namespace

ExactProduct::ExactProduct()
    : matrix(Values(kRows * kCols, 1)),
      left(Values(kRows * kRank, 2)),
      right(Values(kRank * kCols, 3)) {}

void ExactProduct::Put(ObjectStore& model, ObjectStore& adapter) const {
  EXPECT_TRUE(model.Put("w", EncodeTiny(DType::kF32, matrix)).ok());
  EXPECT_TRUE(
      adapter.Put("f", EncodeTiny(DType::kF32, left) + EncodeTiny(DType::kF32, right)).ok());
}

LowRankUpdate ExactProduct::Update() const {
  const uint64_t rows = kRows * kRank, columns = kRank * kCols;
  LowRankTerm term;
  term.row_factor = {{1, 0, DType::kF32, rows}, rows, kRank, 1};
  term.column_factor = {{1, rows * sizeof(float), DType::kF32, columns}, columns, 1, kCols};
  term.rank = kRank;
  term.scale = kScale;
  return {{term}, {}};
}

double ExactProduct::Added(uint64_t element) const {
  double sum = 0;
  for (uint64_t k = 0; k < kRank; ++k) {
    sum += left[element / kCols * kRank + k] * right[k * kCols + element % kCols];
  }
  return kScale * sum;
}

}  // namespace merganser
