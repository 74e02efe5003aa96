#include "common/methods/multislerp.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/methods/deterministic_math.h"
#include "common/methods/gram_method.h"
#include "common/methods/sphere.h"

namespace merganser {
namespace {

class Multislerp final : public GramMethod {
 public:
  Multislerp(std::vector<double> weights, double eps, bool has_base)
      : GramMethod("multislerp", weights.size(),
                   has_base ? Vectors::kTaskVectors : Vectors::kModels),
        weights_(std::move(weights)),
        eps_(eps) {}

 protected:
  // With u_i = x_i / (|x_i| + eps) and m = sum w_i u_i: the tangent space is that
  // at m / |m|, where the logarithms' weighted sum is m less its own projection:
  // nothing. So the way along it has length eps, and the result is
  // cos(eps) * sum w_i |x_i| * m / |m|.
  void Coefficients(const TriangleView& gram, std::span<double> coefficients,
                    ReportFields* report) const override {
    const size_t n = weights_.size();
    if (n == 1) {
      coefficients[0] = 1;
      return;
    }
    double length = 0;
    for (size_t i = 0; i < n; ++i) {
      const double norm = std::sqrt(gram(i, i));
      coefficients[i] = weights_[i] / (norm + eps_);
      length += weights_[i] * norm;
    }
    double square = 0, terms = 0;
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) {
        const double term = coefficients[i] * coefficients[j] * gram(i, j);
        square += term;
        terms += std::abs(term);
      }
    }
    const bool cancels = square <= std::max(eps_ * eps_, kGramNoise * terms);
    const double norm = std::sqrt(std::max(0.0, square));
    const double scale = cancels ? 0 : DeterministicCos(eps_) * length / norm;
    for (size_t i = 0; i < n; ++i) {
      coefficients[i] = cancels ? weights_[i] : coefficients[i] * scale;
    }
    if (report != nullptr) {
      report->push_back({"mean_norm", {norm}});
      report->push_back({"cancels", {cancels ? 1.0 : 0.0}});
    }
  }

 private:
  std::vector<double> weights_;
  double eps_;
};

absl::StatusOr<std::unique_ptr<MergeMethod>> MultislerpFrom(const MethodConfig& config) {
  MERGANSER_ASSIGN_OR_RETURN(std::vector<double> weights, GetPerModel(config, "weight"));
  MERGANSER_ASSIGN_OR_RETURN(const double normalize, GetNumber(config, "normalize_weights"));
  MERGANSER_ASSIGN_OR_RETURN(const double eps, GetNumber(config, "eps"));
  if (normalize != 0) {
    double sum = 0;
    for (const double weight : weights) sum += weight;
    if (std::abs(sum) < 1e-8) {
      return absl::InvalidArgumentError(
          absl::StrCat("multislerp: the weights sum to ", sum,
                       " and normalize_weights divides by that sum; expected a sum away from "
                       "zero, or normalize_weights: false"));
    }
    for (double& weight : weights) weight /= sum;
  }
  return MakeMultislerp(std::move(weights), eps, config.has_base);
}

}  // namespace

std::unique_ptr<MergeMethod> MakeMultislerp(std::vector<double> weights, double eps,
                                            bool has_base) {
  return std::make_unique<Multislerp>(std::move(weights), eps, has_base);
}

MethodInfo MultislerpMethod() {
  MethodInfo info;
  info.name = "multislerp";
  info.summary =
      "weighted mean direction of the models, or of their task vectors, at their mean "
      "norm";
  info.paper = "goddard.blog/posts/multislerp-wow-what-a-cool-idea";
  info.base = BaseUse::kOptional;
  ParameterSpec eps = NumberParameter("eps", 1e-8, 0, 1, "shorter vectors have no direction");
  eps.exclusive_min = true;
  info.parameters = {WeightParameter(true),
                     BooleanParameter("normalize_weights", true, "divide the weights by their sum"),
                     eps};
  info.make = MultislerpFrom;
  return info;
}

}  // namespace merganser
