// A growing orthonormal basis and the operator's projection on it: the
// bookkeeping of block Lanczos on delta^T delta with full reorthogonalisation
// and thick restarts.
#ifndef MERGANSER_COMMON_LINALG_KRYLOV_H_
#define MERGANSER_COMMON_LINALG_KRYLOV_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/base/executor.h"
#include "common/linalg/delta_operator.h"
#include "common/linalg/small_dense.h"

namespace merganser::linalg {

// Sizes of one solve, from shapes and k alone.
struct KrylovLayout {
  KrylovLayout(int64_t rows, int64_t cols, int k);
  size_t start;      // width of the start block
  size_t probe;      // random vectors that a probe adds
  size_t max_block;  // vectors of the widest pass
  size_t capacity;   // basis vectors before a restart
  size_t kept;       // Ritz vectors that survive one
};

// Invariant: with Q the `size` + `block` basis vectors, the first `size` have
// been multiplied: delta^T delta Q_size = Q_size G + (block) R E^T, E selecting
// the `multiplied` vectors that came last.
class KrylovBasis {
 public:
  KrylovBasis(DeltaOperator& op, const KrylovLayout& layout, Executor& executor);

  // Appends up to `count` random vectors of `stream` to the block that is
  // multiplied next, orthogonal to the basis. Returns how many there was room
  // for, in the space and in the widest pass.
  size_t AddRandom(uint64_t seed, uint64_t stream, size_t count);

  // Whether Step multiplies in float32 (DeltaOperator::ApplyFloat32).
  void UseFloat32(bool use) { float32_ = use; }

  // Starts anew from the first `count` columns of vectors(): orthonormalised, they
  // are the block that is multiplied next, and all else is forgotten.
  void StartFrom(size_t count);

  // Multiplies the block, extends G, and makes the remainder, orthonormalised,
  // the next block (empty where the space is invariant).
  void Step();

  // Ritz values, descending, and the norm of each pair's residual
  // ||delta^T delta x - theta x||.
  struct Ritz {
    std::vector<double> theta;
    std::vector<double> residual;
  };
  Ritz RitzValues() const;

  // Replaces the multiplied part of the basis by its leading `count` Ritz
  // vectors (fewer if it is smaller); the next block stays.
  void Restart(size_t count);

  // Deflates: the leading `count` Ritz vectors stay first in the basis, and from
  // here on everything is about delta^T delta on their complement, beginning
  // with an empty basis. Values that the square of the largest would drown in
  // its rounding come within reach.
  void Lock(size_t count);

  // After this the first min(count, size) columns of vectors() are the leading
  // Ritz vectors, locked ones first, and StartFrom is all that the object can do
  // yet. Returns how many.
  size_t ExtractLeading(size_t count);

  // The same without locked ones, and every vector x moved to x + r / (theta -
  // shift), r its residual: one more application of (delta^T delta - shift), whose
  // product is at hand. Not orthonormal.
  size_t ExtractRefined(size_t count, double shift);

  double* vectors() { return q_.data(); }
  size_t size() const { return size_; }
  size_t block() const { return block_; }
  // Largest ||delta^T delta x|| seen: a lower bound of sigma_1^2.
  double largest_image() const { return largest_image_; }

  static uint64_t Bytes(const KrylovLayout& layout, const PassLayout& pass);

 private:
  // z -= Q (Q^T z) for `count` vectors over the first `size` columns of Q;
  // the coefficients (size x count) are left in coef_.
  void Project(double* z, size_t count, size_t size);
  // Orthonormalises `count` columns of z_ among each other and appends them
  // after `size_ + block_`. Drops a column whose norm is at most `floor`, or
  // that is noise. factor[i * count + j]: part of new vector i in column j.
  size_t Absorb(size_t count, double floor, std::vector<double>* factor);
  // Eigenvectors of G without the locked part; components from `first_row` on.
  SymmetricEigen Decompose(size_t first_row) const;
  // Replaces the first `count` vectors after the locked ones by combinations of the
  // `from` that stand there; coef is from x count.
  void RotateBasis(const double* coef, size_t from, size_t count);
  void RotateToRitz(const SymmetricEigen& eigen, size_t count);

  DeltaOperator& op_;
  const KrylovLayout layout_;
  Executor& executor_;
  const size_t stride_, padded_;
  size_t size_ = 0, block_ = 0;
  size_t locked_ = 0;      // of size_; their rows and columns of g_ are not used
  size_t multiplied_ = 0;  // columns of the last Step
  double largest_image_ = 0;
  bool float32_ = false;
  LaneBuffer q_;           // (capacity + 2 max_block) x stride
  LaneBuffer z_;           // max_block x stride
  std::vector<double> g_;  // capacity-sized square
  std::vector<double> r_;  // block_ x multiplied_
  std::vector<double> coef_, acc_;
  std::vector<double> tile_;
};

}  // namespace merganser::linalg

#endif  // MERGANSER_COMMON_LINALG_KRYLOV_H_
