#include "common/methods/linear.h"

#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/linalg/kernels.h"
#include "common/methods/elementwise.h"

namespace merganser {
namespace {

class Linear final : public Elementwise {
 public:
  Linear(std::vector<double> weights, double divisor)
      : weights_(std::move(weights)), divisor_(divisor) {}

  std::string_view name() const override { return "linear"; }

  absl::StatusOr<TensorNeeds> Needs(const TensorSpec&) const override {
    TensorNeeds needs;
    needs.mode = "linear";
    needs.reads_base = false;
    return needs;
  }

  absl::Status Apply(const Leaf& leaf, const Gate&, const Keepsake&, MutableTensorView out,
                     ReportFields&, Executor& executor) const override {
    return OverflowStatus(leaf, WeightedSum(leaf.experts, weights_, divisor_, out, executor),
                          out.dtype);
  }

 private:
  std::vector<double> weights_;
  double divisor_;
};

class TaskArithmetic final : public Elementwise {
 public:
  TaskArithmetic(std::vector<double> weights, double scale)
      : weights_(std::move(weights)), scale_(scale) {}

  std::string_view name() const override { return "task_arithmetic"; }

  absl::StatusOr<TensorNeeds> Needs(const TensorSpec&) const override {
    TensorNeeds needs;
    needs.mode = "task_arithmetic";
    needs.takes_deltas = true;
    return needs;
  }

  absl::Status Apply(const Leaf& leaf, const Gate&, const Keepsake&, MutableTensorView out,
                     ReportFields&, Executor& executor) const override {
    return OverflowStatus(
        leaf, AddTaskVectors(leaf.base, leaf.experts, weights_, scale_, out, executor), out.dtype);
  }

 private:
  std::vector<double> weights_;
  double scale_;
};

double Sum(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values) sum += value;
  return sum;
}

// A sum with weights, divided or scaled.
struct WeightsAndScale {
  std::vector<double> weights;
  double scale = 1;
};

// `scale` divides.
absl::StatusOr<WeightsAndScale> LinearWeights(const MethodConfig& config) {
  MERGANSER_ASSIGN_OR_RETURN(std::vector<double> weights, GetPerModel(config, "weight"));
  MERGANSER_ASSIGN_OR_RETURN(const double normalize, GetNumber(config, "normalize"));
  double divisor = 1;
  if (normalize != 0) {
    divisor = Sum(weights);
    if (std::abs(divisor) < 1e-8) {
      return absl::InvalidArgumentError(
          absl::StrCat("linear: the weights sum to ", divisor,
                       " and normalize divides by that sum; expected a sum away from zero, or "
                       "normalize: false"));
    }
  }
  return WeightsAndScale{std::move(weights), divisor};
}

// `scale` multiplies.
absl::StatusOr<WeightsAndScale> TaskArithmeticWeights(const MethodConfig& config) {
  MERGANSER_ASSIGN_OR_RETURN(std::vector<double> weights, GetPerModel(config, "weight"));
  MERGANSER_ASSIGN_OR_RETURN(const double normalize, GetNumber(config, "normalize"));
  MERGANSER_ASSIGN_OR_RETURN(double scale, GetNumber(config, "lambda"));
  if (normalize != 0) {
    // As mergekit: a sum that is nearly zero divides by one.
    if (const double sum = Sum(weights); std::abs(sum) >= 1e-8) scale /= sum;
  }
  return WeightsAndScale{std::move(weights), scale};
}

absl::StatusOr<std::unique_ptr<MergeMethod>> LinearFrom(const MethodConfig& config) {
  MERGANSER_ASSIGN_OR_RETURN(WeightsAndScale sum, LinearWeights(config));
  return MakeLinear(std::move(sum.weights), sum.scale);
}

absl::StatusOr<std::unique_ptr<MergeMethod>> TaskArithmeticFrom(const MethodConfig& config) {
  MERGANSER_ASSIGN_OR_RETURN(WeightsAndScale sum, TaskArithmeticWeights(config));
  return MakeTaskArithmetic(std::move(sum.weights), sum.scale);
}

}  // namespace

absl::StatusOr<std::optional<std::vector<double>>> CoefficientsOf(const MethodConfig& config) {
  if (config.method == "linear") {
    MERGANSER_ASSIGN_OR_RETURN(WeightsAndScale sum, LinearWeights(config));
    for (double& weight : sum.weights) weight /= sum.scale;
    return std::move(sum.weights);
  }
  if (config.method != "task_arithmetic") return std::nullopt;
  MERGANSER_ASSIGN_OR_RETURN(WeightsAndScale sum, TaskArithmeticWeights(config));
  for (double& weight : sum.weights) weight *= sum.scale;
  return std::move(sum.weights);
}

std::unique_ptr<MergeMethod> MakeLinear(std::vector<double> weights, double divisor) {
  return std::make_unique<Linear>(std::move(weights), divisor);
}

std::unique_ptr<MergeMethod> MakeTaskArithmetic(std::vector<double> weights, double scale) {
  return std::make_unique<TaskArithmetic>(std::move(weights), scale);
}

MethodInfo LinearMethod() {
  MethodInfo info;
  info.name = "linear";
  info.summary = "weighted mean of the models";
  info.paper = "arXiv 2203.05482";
  info.base = BaseUse::kNone;
  info.parameters = {WeightParameter(true),
                     BooleanParameter("normalize", true, "divide by the sum of the weights")};
  info.make = LinearFrom;
  return info;
}

MethodInfo TaskArithmeticMethod() {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  MethodInfo info;
  info.name = "task_arithmetic";
  info.summary = "base plus the weighted sum of the task vectors";
  info.paper = "arXiv 2212.04089";
  info.parameters = {
      WeightParameter(false),
      BooleanParameter("normalize", false, "divide by the sum of the weights"),
      NumberParameter("lambda", 1, -kInf, kInf, "scale of the sum"),
      WithoutEffect(NumberParameter("density", 1, 0, 1, ""), "task_arithmetic keeps every element"),
      WithoutEffect(BooleanParameter("rescale", false, ""),
                    "task_arithmetic drops nothing to make up for")};
  // The sum of N equal task vectors is N of them.
  info.properties.identical_experts = false;
  info.make = TaskArithmeticFrom;
  return info;
}

}  // namespace merganser
