// The float32 counterparts of block_ops.h's solver primitives: for iterations
// whose result is refined in float64 and decides nothing by itself. Same lanes,
// same order, same bits on every instruction set; buffers are padded alike.
#ifndef MERGANSER_COMMON_LINALG_BLOCK_OPS_F32_H_
#define MERGANSER_COMMON_LINALG_BLOCK_OPS_F32_H_

#include <cstddef>

#include "common/tensor/view.h"

namespace merganser::linalg {

// True for pairs of dtypes whose difference float32 can start from.
bool HasDeltaF32(const TensorView& base, const TensorView& expert);

// out[e] = expert[e] - base[e], zero up to PadLanes(size). Requires HasDeltaF32.
void LoadDeltaF32(const TensorView& base, const TensorView& expert, float* out);

// acc[(i * nb + j) * 16 + lane] += lane sums of <a_i, b_j>; `n` is a multiple of 16.
void DotBlockF32(const float* a, size_t lda, size_t na, const float* b, size_t ldb, size_t nb,
                 size_t n, float* acc);

// z_j += sum_i coef[i * nz + j] * a_i, i ascending; `n` is a multiple of 16.
void UpdateBlockF32(const float* a, size_t lda, size_t na, const float* coef, float* z, size_t ldz,
                    size_t nz, size_t n);

// The 16 lanes added in a fixed tree, in float64.
double SumLanesF32(const float* acc);

}  // namespace merganser::linalg

#endif  // MERGANSER_COMMON_LINALG_BLOCK_OPS_F32_H_
