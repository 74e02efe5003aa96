// What decoding and encoding of values of few bits come down to, by vectors. One operation of
// float32 an element and sums of 16 lanes: the same bits on every CPU. Private to block_decode.cc
// and block_encode.cc.
#ifndef MERGANSER_COMMON_LINALG_CODE_OPS_H_
#define MERGANSER_COMMON_LINALG_CODE_OPS_H_

#include <cstddef>
#include <cstdint>

#include "common/tensor/dtype.h"

namespace merganser::linalg {

// out[i] = the value of codes[i] times `scale`. `coded` is F8_E4M3, F8_E5M2 or F4; codes lie one a
// byte.
void DecodeCodes(DType coded, const uint8_t* codes, size_t n, float scale, float* out);

// The bits of the largest magnitude.
uint32_t LargestMagnitude(const float* values, size_t n);

struct CodeSums {
  double error = 0;   // squared differences of values and what the codes stand for
  double energy = 0;  // squared values
};
// codes[i] = the code nearest to values[i] / scale, ties to even, saturated. Values are finite,
// `scale` is above 0.
CodeSums EncodeCodes(DType coded, const float* values, size_t n, float scale, uint8_t* codes);

double SumOfSquares(const float* values, size_t n);

// To nearest even; NaN stays NaN.
void RoundToBf16(const float* values, size_t n, uint16_t* out);

// Whether values[i] is, bit for bit, decoded[i] rounded to bfloat16. `decoded` are no NaN where it
// is.
bool AreRoundedBf16(const float* values, const float* decoded, size_t n);

}  // namespace merganser::linalg

#endif  // MERGANSER_COMMON_LINALG_CODE_OPS_H_
