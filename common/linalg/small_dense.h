// Dense eigenvalue and singular value routines for small matrices, in scalar
// float64 without contraction: the same bits everywhere. Hand-written rather
// than taken from a library because the library's bits follow its build flags
// and its vector width.
#ifndef MERGANSER_COMMON_LINALG_SMALL_DENSE_H_
#define MERGANSER_COMMON_LINALG_SMALL_DENSE_H_

#include <cstddef>
#include <span>
#include <vector>

namespace merganser::linalg {

// Eigenvalues, descending, and rows [first_row, n) of the matrix of
// eigenvectors: a few rows cost O(n^2) beside the O(n^3) of the reduction.
struct SymmetricEigen {
  std::vector<double> values;   // n
  size_t rows = 0;              // n - first_row
  std::vector<double> vectors;  // component first_row + r of eigenvector i at [i * rows + r]
};

// `matrix` is n x n, symmetric, with row stride `stride`. Absolute error about
// n * 2^-53 * ||matrix||. Householder reduction to tridiagonal form, then
// implicit QL steps (Golub and Van Loan, Matrix Computations, 8.3).
SymmetricEigen EigenDecompose(const double* matrix, size_t stride, size_t n, size_t first_row);
// Bytes that EigenDecompose takes at most, its result included.
size_t EigenBytes(size_t n);

// Columns that one rotation turns together: column i at data + i * stride,
// `length` doubles (a multiple of 16, zero-padded).
struct ColumnSet {
  double* data;
  size_t stride;
  size_t length;
};

// Hestenes' one-sided Jacobi: rotates pairs of the first `count` columns of
// `target` until they are orthogonal to each other relative to their norms, and
// the columns of `along` with them.
void OneSidedJacobi(const ColumnSet& target, std::span<const ColumnSet> along, size_t count);

}  // namespace merganser::linalg

#endif  // MERGANSER_COMMON_LINALG_SMALL_DENSE_H_
