// The vector primitives below the kernels and the solver, each dispatched at
// run time. Element-wise results do not depend on the vector width; sums run
// on 16 fixed lanes (lane l takes elements l, l + 16, ...) with one fused
// multiply-add an element, so every instruction set gives the same bits.
//
// "Padded" buffers hold a multiple of 16 doubles, zero beyond their data.
// Nothing allocates; all are thread-safe.
#ifndef MERGANSER_COMMON_LINALG_BLOCK_OPS_H_
#define MERGANSER_COMMON_LINALG_BLOCK_OPS_H_

#include <cstddef>

namespace merganser::linalg {

inline constexpr size_t kLanes = 16;
inline constexpr size_t PadLanes(size_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// y[0, n) = w * x.
void Scale(double w, const double* x, size_t n, double* y);
// y[0, n) += w * x. `x` need not be padded, `y` must be.
void AddScaled(double w, const double* x, size_t n, double* y);
// y[0, n) /= divisor.
void Divide(double divisor, size_t n, double* y);
// y = y + scale * x where x is not zero; elsewhere y keeps its bits (-0 too).
void AddToBase(double scale, const double* x, size_t n, double* y);

// Adds to acc[(i * nb + j) * 16 + lane] the lane sums of <a_i, b_j>, a_i at
// a + i * lda (na of them), b_j at b + j * ldb. `n` is a multiple of 16.
void DotBlock(const double* a, size_t lda, size_t na, const double* b, size_t ldb, size_t nb,
              size_t n, double* acc);

// The 16 lanes added in a fixed tree.
double SumLanes(const double* acc);

// <a, b> of two padded buffers.
double Dot(const double* a, const double* b, size_t n);

// z_j += sum_i coef[i * nz + j] * a_i, i ascending, for j < nz. `n` is a
// multiple of 16.
void UpdateBlock(const double* a, size_t lda, size_t na, const double* coef, double* z, size_t ldz,
                 size_t nz, size_t n);

}  // namespace merganser::linalg

#endif  // MERGANSER_COMMON_LINALG_BLOCK_OPS_H_
