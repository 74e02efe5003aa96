// The inner step of a pass over a task vector: a few rows of delta = expert -
// base are formed, multiplied with every x_j (t = row . x_j) and added to every
// z_j (z_j += t row) while they are in the first cache.
//
// Vectors are packed, in lanes of 16: those of every vector, then the next 16 of
// every vector. Even columns stand before odd ones (PackedLane), because a pair
// of bf16 in a 32-bit word is widened by a shift and a mask. As in block_ops.h,
// products are summed on 16 fixed lanes with one fused multiply-add an element,
// and rows are added to z in ascending order, so every instruction set gives the
// same bits. Nothing allocates; all are thread-safe.
#ifndef MERGANSER_COMMON_LINALG_DELTA_PASS_H_
#define MERGANSER_COMMON_LINALG_DELTA_PASS_H_

#include <cstddef>

#include "common/tensor/view.h"

namespace merganser::linalg {

// Rows of one call, at most: few enough for the first cache.
template <class T>
inline constexpr size_t kPassRows = sizeof(T) == sizeof(float) ? 8 : 4;

// Columns that are reordered among themselves: as many as 32-bit words of pairs
// make the 16 lanes of float32, or half of those of float64.
template <class T>
inline constexpr size_t kPassColumns = sizeof(T) == sizeof(float) ? 32 : 16;

// Length of a packed vector of `cols` columns.
template <class T>
inline constexpr size_t PackedLength(size_t cols) {
  return (cols + kPassColumns<T> - 1) / kPassColumns<T> * kPassColumns<T>;
}

// Where column c stands in a vector packed alone.
template <class T>
inline constexpr size_t PackedLane(size_t c) {
  const size_t within = c % kPassColumns<T>;
  return c - within + within % 2 * (kPassColumns<T> / 2) + within / 2;
}

// x_j stands at x + j * stride. The packed form is zero beyond `cols`.
template <class T>
void PackVectors(const double* x, size_t stride, size_t count, size_t cols, T* packed);
template <class T>
void UnpackVectors(const double* packed, size_t count, size_t cols, double* x, size_t stride);

// sum[0, n) += part, `n` a multiple of 16.
void AddPart(const double* part, size_t n, double* sum);
void AddPart(const float* part, size_t n, double* sum);

// `base` and `expert` hold `rows` (at most kPassRows<double>) whole rows of `cols`
// elements. x and z are `count` packed vectors; t is rows x count and assigned;
// `scratch` has room for one packed vector more than that. delta is scaled as
// LoadDelta does. In float64 throughout.
void PassRows(const TensorView& base, const TensorView& expert, double scale, size_t rows,
              size_t cols, const double* x, size_t count, double* scratch, double* t, double* z);

// True for pairs of bf16, whose difference float32 can start from; not for a task vector.
bool HasDeltaF32(const TensorView& base, const TensorView& expert);

// The same in float32, for iterations whose result float64 refines and which
// decide nothing by themselves. Requires HasDeltaF32.
void PassRowsF32(const TensorView& base, const TensorView& expert, size_t rows, size_t cols,
                 const float* x, size_t count, float* t, float* z);

}  // namespace merganser::linalg

#endif  // MERGANSER_COMMON_LINALG_DELTA_PASS_H_
