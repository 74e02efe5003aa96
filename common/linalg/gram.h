// Gram matrices of tensors taken as long vectors, or of their task vectors. All
// sums run on 16 fixed lanes in float64 over fixed blocks, added in block order:
// the same bits on every CPU and thread count.
#ifndef MERGANSER_COMMON_LINALG_GRAM_H_
#define MERGANSER_COMMON_LINALG_GRAM_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "common/base/executor.h"
#include "common/tensor/view.h"

namespace merganser {

// Entries of the upper triangle of a symmetric n x n matrix.
inline constexpr size_t TriangleSize(size_t n) { return n * (n + 1) / 2; }

// A symmetric matrix by its upper triangle, row by row: (0,0) (0,1) .. (1,1) ..
struct TriangleView {
  size_t n = 0;
  std::span<const double> entries;  // TriangleSize(n)

  double operator()(size_t i, size_t j) const {
    if (i > j) std::swap(i, j);
    return entries[i * n - i * (i + 1) / 2 + j];
  }
};

// Computes one range after the other with buffers that it keeps. For one thread.
class GramRange {
 public:
  explicit GramRange(size_t n);

  // The triangle of <x_i, x_j> over elements [begin, end), x_i the i-th of the n
  // `inputs`, less `base` unless that is empty. `out` holds TriangleSize(n).
  void Compute(const TensorView& base, std::span<const TensorView> inputs, uint64_t begin,
               uint64_t end, std::span<double> out);

  // Of an object's buffers.
  static uint64_t Bytes(size_t n);

 private:
  size_t n_;
  std::vector<double> chunk_;  // one run of each vector
  std::vector<double> lanes_;
};

// The same over whole tensors, spread over `executor`.
std::vector<double> Gram(const TensorView& base, std::span<const TensorView> inputs,
                         Executor& executor);

// The most that Gram allocates for `elements` a tensor.
uint64_t GramBytes(size_t n, uint64_t elements);

}  // namespace merganser

#endif  // MERGANSER_COMMON_LINALG_GRAM_H_
