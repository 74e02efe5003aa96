#include "common/methods/passthrough.h"

#include <limits>
#include <vector>

#include "common/base/status.h"
#include "common/linalg/kernels.h"
#include "common/methods/elementwise.h"

namespace merganser {
namespace {

class Passthrough final : public Elementwise {
 public:
  explicit Passthrough(double scale) : scale_(scale) {}

  std::string_view name() const override { return "passthrough"; }

  absl::StatusOr<TensorNeeds> Needs(const TensorSpec&) const override {
    TensorNeeds needs;
    needs.mode = "passthrough";
    needs.reads_base = false;
    return needs;
  }

  absl::Status Apply(const Leaf& leaf, const Gate&, const Keepsake&, MutableTensorView out,
                     ReportFields&, Executor& executor) const override {
    const std::vector<double> weight = {scale_};
    return OverflowStatus(leaf, WeightedSum(leaf.experts, weight, 1, out, executor), out.dtype);
  }

 private:
  double scale_;
};

absl::StatusOr<std::unique_ptr<MergeMethod>> PassthroughFrom(const MethodConfig& config) {
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<double> scales, GetPerModel(config, "scale"));
  if (scales.size() != 1) return absl::InvalidArgumentError("passthrough: takes exactly 1 model");
  return MakePassthrough(scales[0]);
}

}  // namespace

std::unique_ptr<MergeMethod> MakePassthrough(double scale) {
  return std::make_unique<Passthrough>(scale);
}

MethodInfo PassthroughMethod() {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  MethodInfo info;
  info.name = "passthrough";
  info.summary = "one model as it is, or scaled";
  info.paper = "mergekit";
  info.base = BaseUse::kNone;
  info.min_models = info.max_models = 1;
  info.parameters = {PerModel(NumberParameter("scale", 1, -kInf, kInf, "factor of every element"))};
  info.make = PassthroughFrom;
  return info;
}

}  // namespace merganser
