#include "common/methods/linear.h"

#include <utility>

#include "common/linalg/kernels.h"

namespace merganser {
namespace {

// Methods that are one elementwise expression: nothing to analyze, any split.
class Elementwise : public MergeMethod {
 public:
  absl::StatusOr<Analysis> Analyze(const Leaf&, int, const Gate&, Executor&) const override {
    return absl::InternalError("an elementwise method has nothing to analyze");
  }
  absl::StatusOr<Gate> Reduce(const TensorNeeds&, int, const Stats&, ReportFields&) const override {
    return absl::InternalError("an elementwise method has nothing to reduce");
  }
};

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
                     Executor& executor) const override {
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
    return needs;
  }

  absl::Status Apply(const Leaf& leaf, const Gate&, const Keepsake&, MutableTensorView out,
                     Executor& executor) const override {
    return OverflowStatus(
        leaf, AddTaskVectors(leaf.base, leaf.experts, weights_, scale_, out, executor), out.dtype);
  }

 private:
  std::vector<double> weights_;
  double scale_;
};

}  // namespace

std::unique_ptr<MergeMethod> MakeLinear(std::vector<double> weights, double divisor) {
  return std::make_unique<Linear>(std::move(weights), divisor);
}

std::unique_ptr<MergeMethod> MakeTaskArithmetic(std::vector<double> weights, double scale) {
  return std::make_unique<TaskArithmetic>(std::move(weights), scale);
}

}  // namespace merganser
