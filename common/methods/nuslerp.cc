#include "common/methods/nuslerp.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include "common/base/status.h"
#include "common/methods/deterministic_math.h"
#include "common/methods/gram_method.h"
#include "common/methods/nuslerp_columns.h"
#include "common/methods/sphere.h"

namespace merganser {
namespace {

constexpr double kLeastNorm = 1e-7;  // shorter vectors are divided by this

class Nuslerp final : public GramMethod {
 public:
  Nuslerp(double t, bool has_base, Extent extent)
      : GramMethod("nuslerp", 2, has_base ? Vectors::kTaskVectors : Vectors::kModels, extent),
        t_(t) {}

 protected:
  void Coefficients(const TriangleView& gram, std::span<double> coefficients,
                    ReportFields* report) const override {
    std::tie(coefficients[0], coefficients[1]) =
        NuslerpWeights(t_, gram(0, 0), gram(0, 1), gram(1, 1));
    if (report != nullptr) {
      report->push_back({"cosine", {Cosine(gram(0, 1), gram(0, 0), gram(1, 1))}});
    }
  }

 private:
  double t_;
};

absl::StatusOr<std::unique_ptr<MergeMethod>> NuslerpFrom(const MethodConfig& config) {
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<double> weights, GetPerModel(config, "weight"));
  MERGANSER_ASSIGN_OR_RETURN(const double flatten, GetNumber(config, "nuslerp_flatten"));
  MERGANSER_ASSIGN_OR_RETURN(const double row_wise, GetNumber(config, "nuslerp_row_wise"));
  if (weights.size() != 2) return absl::InvalidArgumentError("nuslerp: takes exactly 2 models");
  const double sum = weights[0] + weights[1];
  const double t = std::abs(sum) < 1e-6 ? 0.5 : weights[1] / sum;
  return MakeNuslerp(t, config.has_base,
                     flatten != 0    ? NuslerpVectors::kTensor
                     : row_wise != 0 ? NuslerpVectors::kFirstDimension
                                     : NuslerpVectors::kLastDimension);
}

}  // namespace

std::pair<double, double> NuslerpWeights(double t, double aa, double ab, double bb) {
  constexpr double kLeastSquare = kLeastNorm * kLeastNorm;
  const double cosine = Cosine(ab, std::max(aa, kLeastSquare), std::max(bb, kLeastSquare));
  // mergekit goes straight where the sine is below 1e-8, which no sum in float64
  // can show; this is where it begins to.
  if ((1 - cosine) * (1 + cosine) <= kGramNoise) return {1 - t, t};
  return ArcWeights(DeterministicAcos(cosine), t);
}

std::unique_ptr<MergeMethod> MakeNuslerp(double t, bool has_base, NuslerpVectors vectors) {
  const GramMethod::Extent extent = vectors == NuslerpVectors::kLastDimension
                                        ? GramMethod::Extent::kRow
                                        : GramMethod::Extent::kTensor;
  auto nuslerp = std::make_unique<Nuslerp>(t, has_base, extent);
  if (vectors != NuslerpVectors::kFirstDimension) return nuslerp;
  return MakeNuslerpColumns(t, has_base, std::move(nuslerp));
}

MethodInfo NuslerpMethod() {
  MethodInfo info;
  info.name = "nuslerp";
  info.summary = "spherical interpolation between two models, or between their task vectors";
  info.paper = "mergekit";
  info.base = BaseUse::kOptional;
  info.min_models = info.max_models = 2;
  ParameterSpec weight = WeightParameter(true);
  weight.about = "the model's share of their sum is how close the result is to it";
  info.parameters = {
      weight,
      BooleanParameter("nuslerp_flatten", true, "a tensor is one vector, not one a row or column"),
      BooleanParameter("nuslerp_row_wise", false,
                       "without nuslerp_flatten: vectors run along the first dimension, not the "
                       "last")};
  info.make = NuslerpFrom;
  return info;
}

}  // namespace merganser
