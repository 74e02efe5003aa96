// Values that are stored in few bits with a scale a block (FP8, MXFP4), as floats. One
// multiplication in float32 an element: the same bits on every CPU.
#ifndef MERGANSER_COMMON_LINALG_BLOCK_DECODE_H_
#define MERGANSER_COMMON_LINALG_BLOCK_DECODE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/tensor/dtype.h"

namespace merganser {

// By code: F8_E4M3 (OCP's, without infinities; 0x7f and 0xff are NaN) and F8_E5M2 (IEEE's way, with
// infinities) of OCP 8-bit Floating Point Specification v1.0.
const std::array<float, 256>& E4m3Values();
const std::array<float, 256>& E5m2Values();
// E2M1 of OCP Microscaling Formats v1.0: the low three bits are 0, 0.5, 1, 1.5, 2, 3, 4, 6.
const std::array<float, 16>& E2m1Values();

// The scale at `at`, of F32, BF16, F16 or F8_E8M0, exactly. The last is 2 to the power of its byte
// less 127, and NaN for 255.
float ScaleValue(DType dtype, const std::byte* at);

// Writes the value of codes[i], which are F8_E4M3 or F8_E5M2, times scale, rounded to float32 and
// then to nearest even as `dtype` (F32, BF16 or F16), to out[i], for as many as there are codes.
// What does not fit becomes infinite.
void DecodeScaled(DType coded, std::span<const std::byte> codes, float scale, DType dtype,
                  std::byte* out);

// The same of `count` codes of 4 bits, two a byte, the lower first, from code `first` of `pairs`
// on.
void DecodePairs(std::span<const std::byte> pairs, uint64_t first, uint64_t count, float scale,
                 DType dtype, std::byte* out);

}  // namespace merganser

#endif  // MERGANSER_COMMON_LINALG_BLOCK_DECODE_H_
