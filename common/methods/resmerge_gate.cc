#include "common/methods/resmerge_gate.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "common/methods/deterministic_math.h"

namespace merganser {
namespace {

constexpr double kEps = 1e-8;

double Clamp01(double x) { return std::clamp(x, 0.0, 1.0); }

// ||sum_i w_i X_i|| from the Gram matrix of the X_i. Rounding may push a norm
// that is zero a little below it.
double CombinationNorm(std::span<const double> gram, std::span<const double> weights) {
  const size_t n = weights.size();
  double sum = 0;
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) sum += weights[i] * weights[j] * gram[i * n + j];
  }
  return std::sqrt(std::max(sum, 0.0));
}

// The residual backbone A (SRC-A).
void Backbone(std::span<const double> gram, size_t n, bool scored, const ResMergeParameters& p,
              ResMergeGate& gate) {
  std::vector<double> norms(n);
  for (size_t i = 0; i < n; ++i) norms[i] = std::sqrt(std::max(gram[i * n + i], 0.0));
  gate.residual_weights.assign(n, 0.0);
  const double jump = 1 / std::sqrt(static_cast<double>(n));
  gate.jump_distance = -jump;
  if (*std::max_element(norms.begin(), norms.end()) <= kEps) return;  // A = 0

  // q_i = R_i / (n_i + eps), so <q_i, q_j> and ||q_i|| follow from the Gram matrix.
  std::vector<double> unit_gram(n * n), unit_norms(n);
  for (size_t i = 0; i < n; ++i) {
    unit_norms[i] = norms[i] / (norms[i] + kEps);
    for (size_t j = 0; j < n; ++j) {
      unit_gram[i * n + j] = gram[i * n + j] / (norms[i] + kEps) / (norms[j] + kEps);
    }
  }
  gate.pairwise = 1;
  if (n > 1) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = i + 1; j < n; ++j) {
        sum += unit_gram[i * n + j] / (unit_norms[i] * unit_norms[j] + kEps);
      }
    }
    gate.pairwise = sum / (static_cast<double>(n) * static_cast<double>(n - 1) / 2);
  }

  const double mean_weight = 1.0 / static_cast<double>(n);
  const std::vector<double> ones(n, 1.0);
  const double consensus_norm = CombinationNorm(unit_gram, ones);  // ||Q||
  if (consensus_norm > kEps) {
    const double q_norm = consensus_norm / (consensus_norm + kEps);
    double sum = 0;
    for (size_t i = 0; i < n; ++i) {
      double dot = 0;  // <q_i, Q>
      for (size_t j = 0; j < n; ++j) dot += unit_gram[i * n + j];
      sum += dot / (consensus_norm + kEps) / (unit_norms[i] * q_norm + kEps);
    }
    gate.coherence = Clamp01(sum / static_cast<double>(n));
  }
  gate.score =
      scored ? (Clamp01((gate.pairwise + 1) / 2) + Clamp01((gate.coherence + 1) / 2)) / 2 : 0;
  gate.beta = p.beta_max - (p.beta_max - p.beta_min) * gate.score;
  gate.jump_distance = gate.coherence - jump;

  if (consensus_norm <= kEps || gate.jump_distance <= 0) {
    gate.residual_weights.assign(n, mean_weight);
    return;
  }
  gate.sphere_branch = true;
  double mean_norm = 0;
  for (double norm : norms) mean_norm += norm;
  mean_norm *= mean_weight;
  const double radius = DeterministicPow(gate.coherence, gate.beta) * mean_norm;
  for (size_t i = 0; i < n; ++i) {
    // Of a residual that is zero there is nothing to scale up but rounding.
    if (norms[i] == 0) continue;
    gate.residual_weights[i] = radius / (norms[i] + kEps) / (consensus_norm + kEps);
  }
}

// S: how far the heads agree.
double HeadAgreement(std::span<const double> gram, size_t n) {
  std::vector<size_t> present;
  std::vector<double> norms(n);
  for (size_t i = 0; i < n; ++i) {
    norms[i] = std::sqrt(std::max(gram[i * n + i], 0.0));
    if (norms[i] > kEps) present.push_back(i);
  }
  if (present.empty()) return 0;
  if (present.size() == 1) return 1;
  double sum = 0;
  for (size_t a = 0; a < present.size(); ++a) {
    for (size_t b = a + 1; b < present.size(); ++b) {
      const size_t i = present[a], j = present[b];
      // h_i = H_i / ||H_i|| has norm 1, so the cosine's denominator is 1 + eps.
      sum += std::max(0.0, gram[i * n + j] / norms[i] / norms[j] / (1 + kEps));
    }
  }
  const double pairs =
      static_cast<double>(present.size()) * static_cast<double>(present.size() - 1) / 2;
  return Clamp01(sum / pairs);
}

}  // namespace

ResMergeGate ComputeResMergeGate(std::span<const double> residual_gram,
                                 std::span<const double> head_gram, int n, bool scored,
                                 const ResMergeParameters& parameters) {
  const size_t count = static_cast<size_t>(n);
  ResMergeGate gate;
  Backbone(residual_gram, count, scored, parameters, gate);
  gate.backbone_norm = CombinationNorm(residual_gram, gate.residual_weights);

  gate.head_weights.assign(count, 0.0);
  gate.head_agreement = HeadAgreement(head_gram, count);
  const std::vector<double> mean(count, 1.0 / static_cast<double>(count));
  const double mean_head_norm = CombinationNorm(head_gram, mean);
  const double share = parameters.head_ratio_budget * gate.head_agreement;
  if (share > 0 && gate.backbone_norm > kEps && mean_head_norm > kEps) {
    gate.correction_norm = share * gate.backbone_norm;
    gate.head_weights.assign(count,
                             gate.correction_norm / mean_head_norm / static_cast<double>(count));
  }
  return gate;
}

}  // namespace merganser
