// The vector primitives against scalar references, on every instruction set
// that this machine has.
#include "common/linalg/block_ops.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "common/linalg/convert.h"
#include "common/linalg/kernels.h"
#include "common/linalg/small_dense.h"
#include "tests/common/linalg/linalg_testing.h"

namespace merganser {
namespace {

constexpr size_t kSizes[] = {0, 1, 15, 16, 17, 31, 33, 2047, 2049};

class BlockOps : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { ASSERT_TRUE(ForceSimd(GetParam()).ok()); }
  void TearDown() override { ASSERT_TRUE(ForceSimd(AvailableSimd().front()).ok()); }
};

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const std::string_view name : AvailableSimd()) names.emplace_back(name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Simd, BlockOps, testing::ValuesIn(Names()),
                         [](const auto& test) { return test.param; });

// Doubles at, just beside and halfway between neighbours of every pattern of a
// 16-bit format, of both signs: all that rounding can get wrong.
TEST_P(BlockOps, NarrowingIsBitEqualToTheScalarCodecAroundEveryTie) {
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    const uint32_t infinity = dtype == DType::kBF16 ? 0x7f80 : 0x7c00;
    std::vector<double> in;
    for (uint32_t p = 0; p < infinity; ++p) {
      const auto raw = static_cast<uint16_t>(p);
      const double low =
          static_cast<double>(dtype == DType::kBF16 ? Bf16ToFloat(raw) : HalfToFloat(raw));
      const auto above = static_cast<uint16_t>(p + 1);
      double high =
          static_cast<double>(dtype == DType::kBF16 ? Bf16ToFloat(above) : HalfToFloat(above));
      if (std::isinf(high)) high = dtype == DType::kBF16 ? 0x1p128 : 65536;
      const double tie = low + (high - low) / 2;
      for (const double x : {low, tie, std::nextafter(tie, 0.0), std::nextafter(tie, 1e300),
                             std::nextafter(low, 1e300), low + (high - low) / 4}) {
        in.push_back(x);
        in.push_back(-x);
      }
    }
    Tensor out(dtype, in.size(), 1);
    linalg::StoreDoubles(in.data(), out.Mutable());
    for (size_t i = 0; i < in.size(); ++i) {
      uint16_t raw;
      std::memcpy(&raw, out.View().data + 2 * i, 2);
      const uint16_t want = dtype == DType::kBF16 ? DoubleToBf16(in[i]) : DoubleToHalf(in[i]);
      ASSERT_EQ(raw, want) << DTypeName(dtype) << " of " << in[i] << " (element " << i << ")";
    }
  }
}

TEST_P(BlockOps, NarrowingToFloatRoundsOnceAlsoAmongSubnormals) {
  std::vector<double> in;
  for (uint64_t i = 0; i < 20000; ++i) {
    const uint64_t bits = linalg::MixBits(i + 1);
    const auto exponent = static_cast<int>(bits % 300) - 160;
    const double unit = 1 + static_cast<double>(bits >> 12) * 0x1p-52;
    in.push_back(std::ldexp(i % 3 == 0 ? std::floor(unit * 0x1p24) * 0x1p-24 : unit,
                            std::min(exponent, 127)));
    in.push_back(-in.back());
  }
  Tensor out(DType::kF32, in.size(), 3);
  linalg::StoreDoubles(in.data(), out.Mutable());
  for (size_t i = 0; i < in.size(); ++i) {
    uint32_t raw;
    std::memcpy(&raw, out.View().data + 4 * i, 4);
    ASSERT_EQ(raw, DoubleToFloatBits(in[i])) << in[i];
  }
}

TEST_P(BlockOps, WideningIsExactForEveryFinitePattern) {
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    Tensor in(dtype, uint64_t{1} << 16, 1);
    for (uint32_t p = 0; p < 65536; ++p) {
      const auto raw = static_cast<uint16_t>(p);
      std::memcpy(in.Mutable().data + 2 * p, &raw, 2);
    }
    std::vector<double> out(65536);
    linalg::LoadDoubles(in.View(), out.data());
    for (uint32_t p = 0; p < 65536; ++p) {
      const auto raw = static_cast<uint16_t>(p);
      const double want =
          static_cast<double>(dtype == DType::kBF16 ? Bf16ToFloat(raw) : HalfToFloat(raw));
      if (std::isnan(want)) {
        ASSERT_TRUE(std::isnan(out[p]));
      } else {
        ASSERT_EQ(std::bit_cast<uint64_t>(out[p]), std::bit_cast<uint64_t>(want)) << p;
      }
    }
  }
}

TEST_P(BlockOps, DeltaOfEveryDtypePairSizeAndMisalignment) {
  for (const DType b : kFloats) {
    for (const DType e : kFloats) {
      for (const size_t n : kSizes) {
        for (const size_t shift : {0, 1, 3}) {
          const Tensor base(b, RandomValues(1, n), shift), expert(e, RandomValues(2, n), shift + 1);
          std::vector<double> out(linalg::PadLanes(n) + 1, 7.0);
          linalg::LoadDelta(base.View(), expert.View(), 1.0, out.data());
          for (size_t i = 0; i < n; ++i) ASSERT_EQ(out[i], expert.At(i) - base.At(i));
          for (size_t i = n; i < linalg::PadLanes(n); ++i) ASSERT_EQ(out[i], 0.0);
          ASSERT_EQ(out.back(), 7.0) << "wrote past the padding";
          linalg::LoadDelta(base.View(), expert.View(), 0.25, out.data());
          for (size_t i = 0; i < n; ++i) ASSERT_EQ(out[i], (expert.At(i) - base.At(i)) / 4);
        }
      }
    }
  }
}

TEST_P(BlockOps, StoreReportsTheFirstElementThatOverflows) {
  for (const DType dtype : kFloats) {
    const double big = dtype == DType::kF16    ? 65520
                       : dtype == DType::kBF16 ? 0x1.ffp127
                       : dtype == DType::kF32  ? 0x1.ffffffp127
                                               : std::numeric_limits<double>::infinity();
    for (const size_t n : kSizes) {
      std::vector<double> in(n, 1.0);
      Tensor out(dtype, n, 1);
      EXPECT_EQ(linalg::StoreDoubles(in.data(), out.Mutable()), n);
      for (size_t at = 0; at < n; at += 1 + n / 7) {
        for (const double bad : {big, -big, std::numeric_limits<double>::quiet_NaN()}) {
          in[at] = bad;
          in[n - 1] = bad;
          EXPECT_EQ(linalg::StoreDoubles(in.data(), out.Mutable()), at) << DTypeName(dtype);
          in[at] = in[n - 1] = 1.0;
        }
        in[at] = std::nextafter(big, 0.0);
        EXPECT_EQ(linalg::StoreDoubles(in.data(), out.Mutable()), n) << DTypeName(dtype);
        in[at] = 1.0;
      }
    }
  }
}

// The contract of the 16 lanes, written out in scalar code.
TEST_P(BlockOps, DotProductsAreTheDocumentedSumBitForBit) {
  for (const size_t n : {16, 32, 48, 2048}) {
    for (size_t na = 1; na <= 5; ++na) {
      for (size_t nb = 1; nb <= 6; ++nb) {
        const std::vector<double> a = RandomValues(1, na * (n + 16)), b = RandomValues(2, nb * n);
        std::vector<double> acc(na * nb * 16);
        linalg::DotBlock(a.data(), n + 16, na, b.data(), n, nb, n, acc.data());
        for (size_t i = 0; i < na; ++i) {
          for (size_t j = 0; j < nb; ++j) {
            double lanes[16] = {};
            for (size_t e = 0; e < n; ++e) {
              lanes[e % 16] = std::fma(a[i * (n + 16) + e], b[j * n + e], lanes[e % 16]);
            }
            for (size_t l = 0; l < 16; ++l) ASSERT_EQ(acc[(i * nb + j) * 16 + l], lanes[l]);
          }
        }
      }
    }
  }
}

TEST_P(BlockOps, UpdatesAreTheDocumentedSumBitForBit) {
  const size_t n = 48;
  for (const size_t na : {1, 2, 7, 8, 9, 20}) {
    for (size_t nz = 1; nz <= 9; ++nz) {
      const std::vector<double> a = RandomValues(1, na * n), coef = RandomValues(2, na * nz);
      std::vector<double> z = RandomValues(3, nz * n), want = z;
      linalg::UpdateBlock(a.data(), n, na, coef.data(), z.data(), n, nz, n);
      for (size_t j = 0; j < nz; ++j) {
        for (size_t e = 0; e < n; ++e) {
          for (size_t i = 0; i < na; ++i) {
            want[j * n + e] = std::fma(coef[i * nz + j], a[i * n + e], want[j * n + e]);
          }
        }
      }
      ASSERT_EQ(z, want) << na << " rows, " << nz << " sums";
    }
  }
}

TEST_P(BlockOps, NonFiniteIsFoundAtEveryPosition) {
  for (const DType dtype : kFloats) {
    for (const size_t n : {1, 15, 16, 17, 31, 33, 100}) {
      Tensor t(dtype, RandomValues(1, n), 1);
      t.Set(0, 0.0);
      ASSERT_FALSE(linalg::HasNonFinite(t.View()));
      for (size_t i = 0; i < n; ++i) {
        const double old = t.At(i);
        for (const double bad :
             {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
              std::numeric_limits<double>::quiet_NaN()}) {
          t.Set(i, bad);
          ASSERT_TRUE(linalg::HasNonFinite(t.View())) << DTypeName(dtype) << " " << n << " " << i;
        }
        t.Set(i, old);
      }
    }
  }
}

TEST(SymmetricEigen, ReproducesTheMatrixItDecomposed) {
  for (const size_t n : {1, 2, 3, 10, 64}) {
    std::vector<double> a = RandomValues(n, n * n);
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < i; ++j) a[i * n + j] = a[j * n + i];
    }
    const linalg::SymmetricEigen eigen = linalg::EigenDecompose(a.data(), n, n, 0);
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) {
        double sum = 0, dot = 0;
        for (size_t e = 0; e < n; ++e) {
          sum += eigen.values[e] * eigen.vectors[e * n + i] * eigen.vectors[e * n + j];
          dot += eigen.vectors[i * n + e] * eigen.vectors[j * n + e];
        }
        EXPECT_NEAR(sum, a[i * n + j], 1e-13 * static_cast<double>(n));
        EXPECT_NEAR(dot, i == j ? 1 : 0, 1e-13);
      }
    }
    const linalg::SymmetricEigen rows = linalg::EigenDecompose(a.data(), n, n, n - 1);
    EXPECT_EQ(rows.values, eigen.values);
    for (size_t e = 0; e < n; ++e) EXPECT_EQ(rows.vectors[e], eigen.vectors[e * n + n - 1]);
  }
}

TEST(SymmetricEigen, HandlesZeroDiagonalAndRepeatedValues) {
  const size_t n = 40;
  std::vector<double> zero(n * n), diagonal(n * n), rank1(n * n);
  for (size_t i = 0; i < n; ++i) diagonal[i * n + i] = i % 3 == 0 ? 5.0 : 1e-30;
  for (size_t e = 0; e < n * n; ++e) rank1[e] = 1e40;
  EXPECT_EQ(linalg::EigenDecompose(zero.data(), n, n, 0).values, std::vector<double>(n));
  EXPECT_EQ(linalg::EigenDecompose(diagonal.data(), n, n, 0).values[13], 5.0);
  EXPECT_EQ(linalg::EigenDecompose(diagonal.data(), n, n, 0).values[14], 1e-30);
  const linalg::SymmetricEigen eigen = linalg::EigenDecompose(rank1.data(), n, n, 0);
  EXPECT_NEAR(eigen.values[0], 1e40 * static_cast<double>(n), 1e27);
  EXPECT_LT(std::abs(eigen.values[1]), 1e27);
}

TEST(Simd, UnknownNamesAreRefusedWithTheOnesThatExist) {
  const absl::Status status = ForceSimd("MMX");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find(std::string(AvailableSimd().front())), absl::string_view::npos)
      << status.message();
  EXPECT_TRUE(CheckCpu().ok());
}

}  // namespace
}  // namespace merganser
