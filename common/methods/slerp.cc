#include "common/methods/slerp.h"

#include <cmath>
#include <tuple>

#include "common/base/status.h"
#include "common/methods/deterministic_math.h"
#include "common/methods/gram_method.h"
#include "common/methods/sphere.h"

namespace merganser {
namespace {

constexpr double kNearlyParallel = 0.9995;
constexpr double kZeroNorm = 1e-8;  // not normalized at or below

class Slerp final : public GramMethod {
 public:
  explicit Slerp(double t) : GramMethod("slerp", 1, Vectors::kBaseAndModels), t_(t) {}

 protected:
  void Coefficients(const TriangleView& gram, std::span<double> coefficients,
                    ReportFields* report) const override {
    const auto square = [](double norm2) { return norm2 > kZeroNorm * kZeroNorm ? norm2 : 1; };
    const double cosine = Cosine(gram(0, 1), square(gram(0, 0)), square(gram(1, 1)));
    coefficients[0] = 1 - t_;
    coefficients[1] = t_;
    if (std::abs(cosine) <= kNearlyParallel) {
      std::tie(coefficients[0], coefficients[1]) = ArcWeights(DeterministicAcos(cosine), t_);
    }
    if (report != nullptr) report->push_back({"cosine", {cosine}});
  }

 private:
  double t_;
};

absl::StatusOr<std::unique_ptr<MergeMethod>> SlerpFrom(const MethodConfig& config) {
  MERGANSER_ASSIGN_OR_RETURN(const double t, GetNumber(config, "t"));
  return MakeSlerp(t);
}

}  // namespace

std::unique_ptr<MergeMethod> MakeSlerp(double t) { return std::make_unique<Slerp>(t); }

MethodInfo SlerpMethod() {
  MethodInfo info;
  info.name = "slerp";
  info.summary = "spherical interpolation between base and model, tensor by tensor";
  info.paper = "Shoemake 1985";
  info.min_models = info.max_models = 1;
  info.parameters = {Required(NumberParameter("t", 0.5, 0, 1, "0 is the base, 1 the model"))};
  // The model is one end of the way.
  info.properties.identical_experts = false;
  info.make = SlerpFrom;
  return info;
}

}  // namespace merganser
