#include "common/linalg/round_products.h"

#include <bit>

#include "common/tensor/float_codec.h"

namespace merganser::linalg {
namespace {

// A cast of what does not fit is not defined.
float ToFloat(double value) { return std::bit_cast<float>(DoubleToFloatBits(value)); }

float Rounded(float value, DType dtype) {
  const auto wide = static_cast<double>(value);  // exact
  return dtype == DType::kF16 ? HalfToFloat(DoubleToHalf(wide)) : Bf16ToFloat(DoubleToBf16(wide));
}

}  // namespace

void AddRoundedProducts(const double* products, size_t n, double scale, DType dtype,
                        double* total) {
  const float by = ToFloat(scale);
  for (size_t i = 0; i < n; ++i) {
    // Exact in float64, so rounded once.
    const double scaled = static_cast<double>(ToFloat(products[i])) * static_cast<double>(by);
    total[i] += static_cast<double>(Rounded(ToFloat(scaled), dtype));
  }
}

}  // namespace merganser::linalg
