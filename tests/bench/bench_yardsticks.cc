#include "tests/bench/bench_yardsticks.h"

#include <cblas.h>
#include <lapacke.h>

#include <Spectra/contrib/PartialSVDSolver.h>
#include <Eigen/Core>
#include <algorithm>

namespace merganser::bench {

void SetBlasThreads(int threads) { openblas_set_num_threads(threads); }

float GesddLargest(const std::vector<float>& delta, int64_t rows, int64_t cols) {
  std::vector<float> a = delta;
  const int64_t least = std::min(rows, cols);
  std::vector<float> s(static_cast<size_t>(least)), u(static_cast<size_t>(cols * least)),
      vt(static_cast<size_t>(least * rows));
  // Row-major delta is column-major delta^T: same singular values, no transposition.
  LAPACKE_sgesdd(LAPACK_COL_MAJOR, 'S', static_cast<lapack_int>(cols),
                 static_cast<lapack_int>(rows), a.data(), static_cast<lapack_int>(cols), s.data(),
                 u.data(), static_cast<lapack_int>(cols), vt.data(),
                 static_cast<lapack_int>(least));
  return s[0];
}

double SpectraLargest(const std::vector<double>& delta, int64_t rows, int64_t cols) {
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Matrix a = Eigen::Map<const Matrix>(delta.data(), rows, cols);
  Spectra::PartialSVDSolver<Matrix> solver(a, 1, 20);
  solver.compute(1000, 1e-7);
  return solver.singular_values()(0);
}

}  // namespace merganser::bench
