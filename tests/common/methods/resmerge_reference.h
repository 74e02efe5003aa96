// ResMerge as the paper writes it down (arXiv 2606.02252), on explicit vectors
// and with dense singular value decompositions: slow, plain, and with no line in
// common with the implementation under test. Everything is float64.
#ifndef MERGANSER_TESTS_COMMON_METHODS_RESMERGE_REFERENCE_H_
#define MERGANSER_TESTS_COMMON_METHODS_RESMERGE_REFERENCE_H_

#include <cstdint>
#include <vector>

#include "common/methods/resmerge_gate.h"

namespace merganser {

using Vec = std::vector<double>;

double Dot(const Vec& a, const Vec& b);
double Norm(const Vec& a);
// n x n, row-major.
std::vector<double> Gram(const std::vector<Vec>& vectors);

struct ReferenceMerge {
  Vec backbone;    // A
  Vec correction;  // C
  double s = 0;
  double consensus_norm = 0;  // ||Q||; c means nothing where it is nearly 0
  double c = 0;
  double score = 0;
  double beta = 0;
  double agreement = 0;  // S
  bool sphere = false;
};

// `residuals` are R_i, `heads` H_i: flattened, all of one length.
ReferenceMerge EvaluateVectors(const std::vector<Vec>& residuals, const std::vector<Vec>& heads,
                               bool scored, const ResMergeParameters& parameters);

struct DenseSplit {
  Vec head, residual;  // rows x cols, row-major
  Vec sigma;           // all singular values, descending
};

// The best rank-k approximation of `delta` and the rest.
DenseSplit SplitDense(const Vec& delta, int64_t rows, int64_t cols, int k);

}  // namespace merganser

#endif  // MERGANSER_TESTS_COMMON_METHODS_RESMERGE_REFERENCE_H_
