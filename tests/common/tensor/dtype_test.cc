#include "common/tensor/dtype.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "common/tensor/view.h"

namespace merganser {
namespace {

constexpr int kDTypes = 22;

TEST(DType, NamesParseBackAndAreUnique) {
  std::set<std::string_view> names;
  for (int i = 0; i < kDTypes; ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(ParseDType(DTypeName(dtype)), dtype);
    names.insert(DTypeName(dtype));
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(kDTypes));
  EXPECT_EQ(ParseDType("bf16"), std::nullopt);
  EXPECT_EQ(ParseDType(""), std::nullopt);
  EXPECT_EQ(ParseDType("BF16 "), std::nullopt);
}

TEST(DType, EachIsOfAtMostOneKind) {
  int computable = 0, integral = 0, quantised = 0;
  for (int i = 0; i < kDTypes; ++i) {
    const auto dtype = static_cast<DType>(i);
    const int kinds = IsComputable(dtype) + IsIntegral(dtype) + IsQuantisedFloat(dtype);
    EXPECT_EQ(kinds, dtype == DType::kC64 ? 0 : 1) << DTypeName(dtype);
    computable += IsComputable(dtype);
    integral += IsIntegral(dtype);
    quantised += IsQuantisedFloat(dtype);
    if (IsQuantisedFloat(dtype)) {
      EXPECT_LE(BitsPerElement(dtype), 8u);
    }
  }
  EXPECT_EQ(computable, 4);
  EXPECT_EQ(integral, 9);
  EXPECT_EQ(quantised, 8);
}

TEST(DType, Sizes) {
  EXPECT_EQ(BitsPerElement(DType::kF4), 4u);
  EXPECT_EQ(BitsPerElement(DType::kF6E2M3), 6u);
  EXPECT_EQ(BytesPerElement(DType::kBool), 1u);
  EXPECT_EQ(BytesPerElement(DType::kBF16), 2u);
  EXPECT_EQ(BytesPerElement(DType::kF32), 4u);
  EXPECT_EQ(BytesPerElement(DType::kC64), 8u);
  EXPECT_EQ(BytesPerElement(DType::kU64), 8u);
}

TEST(DType, TorchNames) {
  EXPECT_EQ(TorchName(DType::kBF16), "bfloat16");
  EXPECT_EQ(TorchName(DType::kF8E4M3), "float8_e4m3fn");
  EXPECT_EQ(TorchName(DType::kF4), "");
  EXPECT_EQ(ParseTorchFloat("bfloat16"), DType::kBF16);
  EXPECT_EQ(ParseTorchFloat("float16"), DType::kF16);
  EXPECT_EQ(ParseTorchFloat("float32"), DType::kF32);
  EXPECT_EQ(ParseTorchFloat("float64"), DType::kF64);
  EXPECT_EQ(ParseTorchFloat("int8"), std::nullopt);
  EXPECT_EQ(ParseTorchFloat(""), std::nullopt);
  EXPECT_EQ(ParseTorchFloat("BF16"), std::nullopt);
}

TEST(TensorView, SlicesByElements) {
  const std::byte bytes[16] = {};
  const TensorView view{bytes, DType::kBF16, 8};
  EXPECT_EQ(view.bytes(), 16u);
  const TensorView slice = view.Slice(3, 2);
  EXPECT_EQ(slice.data, bytes + 6);
  EXPECT_EQ(slice.size, 2u);
  EXPECT_TRUE(view.Slice(8, 0).empty());
}

}  // namespace
}  // namespace merganser
