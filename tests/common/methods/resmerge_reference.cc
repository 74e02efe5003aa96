#include "tests/common/methods/resmerge_reference.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace merganser {
namespace {

constexpr double kEps = 1e-8;

double Clamp01(double x) { return std::min(1.0, std::max(0.0, x)); }

double Cos(const Vec& x, const Vec& y) { return Dot(x, y) / (Norm(x) * Norm(y) + kEps); }

Vec Scaled(const Vec& x, double by) {
  Vec out(x.size());
  for (size_t e = 0; e < x.size(); ++e) out[e] = by * x[e];
  return out;
}

Vec Sum(const std::vector<Vec>& vectors) {
  Vec out(vectors[0].size(), 0.0);
  for (const Vec& vector : vectors) {
    for (size_t e = 0; e < out.size(); ++e) out[e] += vector[e];
  }
  return out;
}

}  // namespace

double Dot(const Vec& a, const Vec& b) {
  long double sum = 0;
  for (size_t e = 0; e < a.size(); ++e) sum += static_cast<long double>(a[e]) * b[e];
  return static_cast<double>(sum);
}

double Norm(const Vec& a) { return std::sqrt(Dot(a, a)); }

std::vector<double> Gram(const std::vector<Vec>& vectors) {
  std::vector<double> gram;
  for (const Vec& a : vectors) {
    for (const Vec& b : vectors) gram.push_back(Dot(a, b));
  }
  return gram;
}

ReferenceMerge EvaluateVectors(const std::vector<Vec>& residuals, const std::vector<Vec>& heads,
                               bool scored, const ResMergeParameters& parameters) {
  const size_t count = residuals.size();
  const double n = static_cast<double>(count);
  ReferenceMerge out;

  // Residual backbone.
  bool all_zero = true;
  double mean_norm = 0;
  for (const Vec& residual : residuals) {
    all_zero = all_zero && Norm(residual) <= kEps;
    mean_norm += Norm(residual) / n;
  }
  if (all_zero) {
    out.backbone.assign(residuals[0].size(), 0.0);
  } else {
    std::vector<Vec> q;
    for (const Vec& residual : residuals)
      q.push_back(Scaled(residual, 1 / (Norm(residual) + kEps)));
    out.s = 1;
    if (count > 1) {
      double sum = 0, pairs = 0;
      for (size_t i = 0; i < count; ++i) {
        for (size_t j = i + 1; j < count; ++j, ++pairs) sum += Cos(q[i], q[j]);
      }
      out.s = sum / pairs;
    }
    const Vec total = Sum(q);
    out.consensus_norm = Norm(total);
    const Vec mean = Scaled(Sum(residuals), 1 / n);
    const Vec consensus = Scaled(total, 1 / (out.consensus_norm + kEps));
    if (out.consensus_norm > kEps) {
      double sum = 0;
      for (const Vec& unit : q) sum += Cos(unit, consensus);
      out.c = Clamp01(sum / n);
    }
    out.score = scored ? (Clamp01((out.s + 1) / 2) + Clamp01((out.c + 1) / 2)) / 2 : 0;
    out.beta = parameters.beta_max - (parameters.beta_max - parameters.beta_min) * out.score;
    out.sphere = out.consensus_norm > kEps && out.c > 1 / std::sqrt(n);
    out.backbone = out.sphere ? Scaled(consensus, std::pow(out.c, out.beta) * mean_norm) : mean;
  }

  // Head correction.
  std::vector<Vec> present;
  for (const Vec& head : heads) {
    if (Norm(head) > kEps) present.push_back(Scaled(head, 1 / Norm(head)));
  }
  out.agreement = present.empty() ? 0 : 1;
  if (present.size() > 1) {
    double sum = 0, pairs = 0;
    for (size_t i = 0; i < present.size(); ++i) {
      for (size_t j = i + 1; j < present.size(); ++j, ++pairs) {
        sum += std::max(0.0, Cos(present[i], present[j]));
      }
    }
    out.agreement = Clamp01(sum / pairs);
  }
  const Vec mean_head = Scaled(Sum(heads), 1 / n);
  const double share = parameters.head_ratio_budget * out.agreement;
  const double backbone_norm = Norm(out.backbone), head_norm = Norm(mean_head);
  out.correction.assign(mean_head.size(), 0.0);
  if (share > 0 && backbone_norm > kEps && head_norm > kEps) {
    out.correction = Scaled(mean_head, share * backbone_norm / head_norm);
  }
  return out;
}

}  // namespace merganser
