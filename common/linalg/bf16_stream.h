// The loops of kernels.h over bf16 tensors, each in one go through registers.
// Elements come in words of two; vectors of float64 beside them are packed
// alike (delta_pass.h, PackVectors of one vector). Tensor data may stand at any
// byte. Nothing allocates; all are thread-safe, and the same bits on every
// instruction set.
#ifndef MERGANSER_COMMON_LINALG_BF16_STREAM_H_
#define MERGANSER_COMMON_LINALG_BF16_STREAM_H_

#include <cstddef>
#include <span>

namespace merganser::linalg {

inline constexpr size_t kStreamTerms = 16;  // tensors of one call, at most
inline constexpr size_t kGramTerms = 4;     // the same of a Gram matrix

// out[e] = round((sum_i weights[i] inputs[i][e]) / divisor), e < count, as
// WeightedSum. False if an element is not finite in bf16.
bool SumBf16(std::span<const std::byte* const> inputs, const double* weights, double divisor,
             size_t count, std::byte* out);

// out[e] = round(base[e] + scale * (sum_i weights[i] (experts[i][e] - base[e]) + rest[e])),
// `rest` packed, or null for zero. Where the sum is zero, base keeps its bits. False if
// an element is not finite in bf16.
bool CombineBf16(const std::byte* base, std::span<const std::byte* const> experts,
                 const double* weights, const double* rest, double scale, size_t count,
                 std::byte* out);

// Lane sums of the products r_i r_j, i <= j, of r_i = experts[i] - base - coef[i] heads[i],
// heads packed: adds to acc[pair * 16 + lane], pairs (0,0), (0,1), ... in order. At most
// kGramTerms experts.
void GramBf16(const std::byte* base, std::span<const std::byte* const> experts,
              const double* const* heads, const double* coef, size_t count, double* acc);

// sum[e] = sum_t coef[t] vectors[t][e], e < length, a multiple of 16.
void SumPacked(std::span<const double* const> vectors, const double* coef, size_t length,
               double* sum);

}  // namespace merganser::linalg

#endif  // MERGANSER_COMMON_LINALG_BF16_STREAM_H_
