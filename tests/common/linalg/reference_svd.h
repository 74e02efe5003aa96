// A dense SVD in float64 to hold the solver against.
#ifndef MERGANSER_TESTS_COMMON_LINALG_REFERENCE_SVD_H_
#define MERGANSER_TESTS_COMMON_LINALG_REFERENCE_SVD_H_

#include <cstdint>
#include <vector>

namespace merganser {

// Singular values, descending, of a row-major matrix; each correct to a few
// units of 2^-53 times the largest.
std::vector<double> ReferenceSingularValues(const std::vector<double>& matrix, int64_t rows,
                                            int64_t cols);

}  // namespace merganser

#endif  // MERGANSER_TESTS_COMMON_LINALG_REFERENCE_SVD_H_
