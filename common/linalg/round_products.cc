#include "common/linalg/round_products.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>

#include "common/linalg/block_ops.h"
#include "common/linalg/convert.h"
#include "common/tensor/float_codec.h"

namespace merganser::linalg {
namespace {

constexpr size_t kChunk = 512;  // stays in the first cache
static_assert(kChunk % kLanes == 0, "LoadDoubles fills whole lanes");

// values[0, n) to nearest even of `dtype`; beyond it infinite, which whoever adds them finds.
void Round(size_t n, DType dtype, double* values) {
  std::array<std::byte, kChunk * sizeof(float)> stored;
  StoreDoubles(values, {stored.data(), dtype, n});
  LoadDoubles({stored.data(), dtype, n}, values);
}

}  // namespace

void AddRoundedProducts(const double* products, size_t n, double scale, DType dtype,
                        double* total) {
  const auto by = static_cast<double>(std::bit_cast<float>(DoubleToFloatBits(scale)));
  double values[kChunk];
  for (size_t at = 0; at < n; at += kChunk) {
    const size_t count = std::min(kChunk, n - at);
    std::copy_n(products + at, count, values);
    Round(count, DType::kF32, values);
    // Exact in float64, so that float32's product is rounded once.
    for (size_t i = 0; i < count; ++i) values[i] *= by;
    Round(count, DType::kF32, values);
    Round(count, dtype, values);
    for (size_t i = 0; i < count; ++i) total[at + i] += values[i];
  }
}

}  // namespace merganser::linalg
