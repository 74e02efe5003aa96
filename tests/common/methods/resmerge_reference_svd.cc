#include <Eigen/SVD>
#include <cstddef>

#include "tests/common/methods/resmerge_reference.h"

namespace merganser {

DenseSplit SplitDense(const Vec& delta, int64_t rows, int64_t cols, int k) {
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::Map<const Matrix> map(delta.data(), rows, cols);
  const Eigen::MatrixXd dense = map;
  const Eigen::JacobiSVD<Eigen::MatrixXd> svd(dense, Eigen::ComputeThinU | Eigen::ComputeThinV);
  const Matrix head = svd.matrixU().leftCols(k) * svd.singularValues().head(k).asDiagonal() *
                      svd.matrixV().leftCols(k).transpose();
  const Matrix residual = map - head;
  DenseSplit split;
  split.head.assign(head.data(), head.data() + head.size());
  split.residual.assign(residual.data(), residual.data() + residual.size());
  split.sigma.assign(svd.singularValues().data(),
                     svd.singularValues().data() + svd.singularValues().size());
  return split;
}

}  // namespace merganser
