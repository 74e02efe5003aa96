// ResMerge's gate: from two N x N Gram matrices to the 2N scalars that make the
// merged tensor. Pure arithmetic on float64 scalars.
//
// Source: arXiv 2606.02252 (SRC-A backbone, head correction), with the settings
// of the authors' release.
#ifndef MERGANSER_COMMON_METHODS_RESMERGE_GATE_H_
#define MERGANSER_COMMON_METHODS_RESMERGE_GATE_H_

#include <span>
#include <vector>

namespace merganser {

struct ResMergeParameters {
  int rank_topk = 1;
  double beta_min = 0.7;
  double beta_max = 1.0;
  double head_ratio_budget = 0.2;
};

struct ResMergeGate {
  // merged = W0 + sum_i residual_weights[i] R_i + sum_i head_weights[i] H_i
  std::vector<double> residual_weights;
  std::vector<double> head_weights;

  // Measurements.
  double pairwise = 0;       // s: mean cosine over pairs of residuals
  double coherence = 0;      // c: mean cosine to the consensus, in [0, 1]
  double jump_distance = 0;  // c - 1/sqrt(N): at or below 0 the mean branch is taken
  double score = 0;
  double beta = 0;
  bool sphere_branch = false;  // false: A is zero or the mean of the residuals
  double backbone_norm = 0;    // ||A||
  double head_agreement = 0;   // S
  double correction_norm = 0;  // ||C||
};

// `residual_gram` and `head_gram` are n x n, row-major: <R_i, R_j>, <H_i, H_j>.
// `scored` is true for the families whose reliability sets beta (attention, ffn).
ResMergeGate ComputeResMergeGate(std::span<const double> residual_gram,
                                 std::span<const double> head_gram, int n, bool scored,
                                 const ResMergeParameters& parameters);

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_RESMERGE_GATE_H_
