#include "tests/common/linalg/reference_svd.h"

#include <Eigen/SVD>

namespace merganser {

std::vector<double> ReferenceSingularValues(const std::vector<double>& matrix, int64_t rows,
                                            int64_t cols) {
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::MatrixXd a = Eigen::Map<const Matrix>(matrix.data(), rows, cols);
  const Eigen::VectorXd s = Eigen::BDCSVD<Eigen::MatrixXd>(a).singularValues();
  return {s.data(), s.data() + s.size()};
}

}  // namespace merganser
