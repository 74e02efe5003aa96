// Products of low rank against one fused multiply-add after the other.
#include "common/linalg/low_rank.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <vector>

#include "tests/common/linalg/linalg_testing.h"

namespace merganser::linalg {
namespace {

struct Sides {
  size_t rows, cols, rank;
};

TEST(LowRank, TheVeryBitsOfSumsInOrderFromEveryInstructionSet) {
  constexpr Sides kSides[] = {{1, 16, 1}, {2, 32, 3}, {3, 16, 8}, {5, 48, 17}, {9, 64, 40}};
  for (const Sides& s : kSides) {
    const size_t row_stride = s.rank + 3, column_stride = s.cols + 16, stride = s.cols + 32;
    const std::vector<double> rows = RandomValues(1, s.rows * row_stride);
    const std::vector<double> columns = RandomValues(2, s.rank * column_stride);
    const std::vector<double> before = RandomValues(3, s.rows * stride);
    std::vector<double> want = before;
    for (size_t i = 0; i < s.rows; ++i) {
      for (size_t j = 0; j < s.cols; ++j) {
        double sum = 0;
        for (size_t k = 0; k < s.rank; ++k) {
          sum = std::fma(rows[i * row_stride + k], columns[k * column_stride + j], sum);
        }
        want[i * stride + j] = std::fma(0.3, sum, want[i * stride + j]);
      }
    }
    for (const std::string_view name : AvailableSimd()) {
      ASSERT_TRUE(ForceSimd(name).ok());
      std::vector<double> total = before;
      AddProduct(rows.data(), row_stride, s.rows, columns.data(), column_stride, s.rank, s.cols,
                 0.3, total.data(), stride);
      EXPECT_EQ(total, want) << name << ", " << s.rows << " x " << s.cols << " of " << s.rank;
    }
  }
  ASSERT_TRUE(ForceSimd(AvailableSimd().front()).ok());
}

}  // namespace
}  // namespace merganser::linalg
