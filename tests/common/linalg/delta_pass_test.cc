// Passes over a few rows against scalar evaluations in float64.
#include "common/linalg/delta_pass.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/linalg/block_ops.h"
#include "tests/common/linalg/linalg_testing.h"

namespace merganser::linalg {
namespace {

// Rows of `cols` around every width that is handled on its own.
constexpr size_t kCols[] = {1, 2, 15, 16, 17, 31, 32, 33, 63, 100};

struct Expected {
  std::vector<double> t, z;
};

// t and z of `count` vectors at stride `cols`, z added to what is there.
Expected Evaluate(const Tensor& base, const Tensor& expert, size_t rows, size_t cols,
                  const std::vector<double>& x, size_t count, const std::vector<double>& z) {
  Expected out{std::vector<double>(rows * count), z};
  for (size_t r = 0; r < rows; ++r) {
    for (size_t j = 0; j < count; ++j) {
      double& t = out.t[r * count + j];
      for (size_t c = 0; c < cols; ++c) {
        t += (expert.At(r * cols + c) - base.At(r * cols + c)) * x[j * cols + c];
      }
      for (size_t c = 0; c < cols; ++c) {
        out.z[j * cols + c] += t * (expert.At(r * cols + c) - base.At(r * cols + c));
      }
    }
  }
  return out;
}

TEST(DeltaPass, PackingPutsEvenColumnsBeforeOddOnesAndComesBack) {
  EXPECT_EQ(PackedLane<float>(0), 0u);
  EXPECT_EQ(PackedLane<float>(1), 16u);
  EXPECT_EQ(PackedLane<float>(2), 1u);
  EXPECT_EQ(PackedLane<float>(33), 48u);
  EXPECT_EQ(PackedLane<double>(1), 8u);
  EXPECT_EQ(PackedLane<double>(15), 15u);
  EXPECT_EQ(PackedLane<double>(18), 17u);
  for (const size_t cols : kCols) {
    const std::vector<double> x = RandomValues(1, 3 * cols);
    std::vector<double> packed(3 * PackedLength<double>(cols), 7), back(x.size());
    PackVectors(x.data(), cols, 3, cols, packed.data());
    EXPECT_EQ(std::count(packed.begin(), packed.end(), 0.0),
              static_cast<ptrdiff_t>(packed.size() - x.size()));
    UnpackVectors<double>(packed.data(), 3, cols, back.data(), cols);
    EXPECT_EQ(back, x);
  }
}

TEST(DeltaPass, Float64OfEveryDtypePairAndSmallShape) {
  for (const DType b : kFloats) {
    for (const DType e : kFloats) {
      for (const size_t cols : kCols) {
        for (size_t rows = 1; rows <= kPassRows<double>; ++rows) {
          for (const size_t count : {1, 2, 3, 4, 5, 7}) {
            const Tensor base(b, RandomValues(1, rows * cols), 1);
            const Tensor expert(e, RandomValues(2, rows * cols), 3);
            const std::vector<double> x = RandomValues(3, count * cols);
            const std::vector<double> before = RandomValues(4, count * cols);
            const size_t length = PackedLength<double>(cols);
            std::vector<double> packed(count * length), sum(count * length), t(rows * count);
            std::vector<double> scratch((kPassRows<double> + 1) * length), z(count * cols);
            PackVectors(x.data(), cols, count, cols, packed.data());
            PackVectors(before.data(), cols, count, cols, sum.data());
            PassRows(base.View(), expert.View(), 1, rows, cols, packed.data(), count,
                     scratch.data(), t.data(), sum.data());
            UnpackVectors<double>(sum.data(), count, cols, z.data(), cols);
            const Expected want = Evaluate(base, expert, rows, cols, x, count, before);
            for (size_t i = 0; i < t.size(); ++i) ASSERT_NEAR(t[i], want.t[i], 1e-13) << i;
            for (size_t i = 0; i < z.size(); ++i) ASSERT_NEAR(z[i], want.z[i], 1e-12) << i;
          }
        }
      }
    }
  }
}

TEST(DeltaPass, Float32OfEverySmallShape) {
  for (const size_t cols : kCols) {
    for (size_t rows = 1; rows <= kPassRows<float>; ++rows) {
      for (const size_t count : {1, 2, 3, 4, 5, 7}) {
        const Tensor base(DType::kBF16, RandomValues(1, rows * cols), 1);
        const Tensor expert(DType::kBF16, RandomValues(2, rows * cols), 3);
        ASSERT_TRUE(HasDeltaF32(base.View(), expert.View()));
        const std::vector<double> x = RandomValues(3, count * cols);
        const std::vector<double> before = RandomValues(4, count * cols);
        const size_t length = PackedLength<float>(cols);
        std::vector<float> packed(count * length), sum(count * length), t(rows * count);
        PackVectors(x.data(), cols, count, cols, packed.data());
        PackVectors(before.data(), cols, count, cols, sum.data());
        PassRowsF32(base.View(), expert.View(), rows, cols, packed.data(), count, t.data(),
                    sum.data());
        std::vector<double> total(sum.size(), 1), z(count * cols);
        AddPart(sum.data(), sum.size(), total.data());
        UnpackVectors<float>(total.data(), count, cols, z.data(), cols);
        const Expected want = Evaluate(base, expert, rows, cols, x, count, before);
        for (size_t i = 0; i < t.size(); ++i) ASSERT_NEAR(t[i], want.t[i], 1e-4) << i;
        for (size_t i = 0; i < z.size(); ++i) ASSERT_NEAR(z[i], want.z[i] + 1, 1e-3) << i;
      }
    }
  }
}

TEST(DeltaPass, OnlyPairsOfBf16AreTakenInFloat32) {
  const Tensor bf16(DType::kBF16, 4), f32(DType::kF32, 4);
  EXPECT_FALSE(HasDeltaF32(bf16.View(), f32.View()));
  EXPECT_FALSE(HasDeltaF32(f32.View(), bf16.View()));
}

}  // namespace
}  // namespace merganser::linalg
