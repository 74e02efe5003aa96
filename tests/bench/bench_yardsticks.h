// The solvers that the benchmark compares with, on a delta that is formed.
#ifndef MERGANSER_TESTS_BENCH_BENCH_YARDSTICKS_H_
#define MERGANSER_TESTS_BENCH_BENCH_YARDSTICKS_H_

#include <cstdint>
#include <vector>

namespace merganser::bench {

// Threads of OpenBLAS.
void SetBlasThreads(int threads);
// Largest singular value by LAPACK's sgesdd with jobz = 'S' (float32, as the
// ResMerge authors' release does it), row-major input; includes the copy that
// sgesdd destroys.
float GesddLargest(const std::vector<float>& delta, int64_t rows, int64_t cols);
// Largest singular value by Spectra's PartialSVDSolver in float64 on one
// thread (it has no others), 1e-7 as its tolerance.
double SpectraLargest(const std::vector<double>& delta, int64_t rows, int64_t cols);

}  // namespace merganser::bench

#endif  // MERGANSER_TESTS_BENCH_BENCH_YARDSTICKS_H_
