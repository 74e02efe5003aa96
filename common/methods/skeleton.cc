#include "common/methods/skeleton.h"

#include <cmath>
#include <cstddef>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/linalg/gram.h"
#include "common/linalg/kernels.h"

namespace merganser {
namespace {

// Plain data, settled when the method is made; nothing changes afterwards.
class Skeleton final : public MergeMethod {
 public:
  Skeleton(std::vector<double> weights, double strength)
      : weights_(std::move(weights)), strength_(strength) {
    for (const double weight : weights_) sum_ += weight;
  }

  std::string_view name() const override { return "skeleton"; }

  // From name and shape alone, at plan time. Memory is a promise: the worker
  // reserves so much and no more.
  absl::StatusOr<TensorNeeds> Needs(const TensorSpec& tensor) const override {
    TensorNeeds needs;
    needs.mode = "skeleton";
    // Experts are looked at through Gram and AddTaskVectors alone, which know task vectors.
    needs.takes_deltas = true;
    needs.split = Split::kElements;
    needs.rounds = 1;
    // A norm spans the tensor, so its leaves share a gate. Without a group every
    // leaf would have a gate of its own.
    needs.group = tensor.name;
    needs.retained_bytes = TriangleSize(weights_.size()) * sizeof(double);
    needs.workspace_bytes = GramBytes(weights_.size(), kLeafElements);
    return needs;
  }

  // What this leaf tells: sums that add up over the leaves. Threads come from the
  // executor alone; work is cut by shape, never by their number.
  absl::StatusOr<Analysis> Analyze(const Leaf& leaf, int /*round*/, const Gate& /*state*/,
                                   Executor& executor) const override {
    Analysis analysis;
    analysis.stats.sums = Gram(leaf.base, leaf.experts, executor);
    return analysis;
  }

  // Stats may come from another process: what does not fit is kInternal. What the
  // user should see of the decision goes to the report.
  absl::StatusOr<Gate> Reduce(const TensorNeeds& /*needs*/, int /*round*/, const Gate& /*state*/,
                              const GroupStats& stats, ReportFields& report) const override {
    const size_t n = weights_.size();
    const std::vector<double> total = stats.Total();
    if (total.size() != TriangleSize(n)) {
      return absl::InternalError(
          absl::StrCat("stats of ", total.size(), " sums, expected ", TriangleSize(n)));
    }
    const TriangleView gram{n, total};
    double mean_norm = 0, square = 0;
    for (size_t i = 0; i < n; ++i) {
      mean_norm += std::sqrt(gram(i, i)) / static_cast<double>(n);
      for (size_t j = 0; j < n; ++j) square += weights_[i] * weights_[j] * gram(i, j);
    }
    const double norm_of_mean = std::sqrt(std::fmax(0, square)) / std::abs(sum_);
    const double scale = norm_of_mean > 0 ? mean_norm / norm_of_mean : 1;
    report.push_back({"scale", {scale}});
    Gate gate;
    gate.values = {scale};
    return gate;
  }

  // Fills every element of `out`, rounded once; says which does not fit its dtype.
  absl::Status Apply(const Leaf& leaf, const Gate& gate, const Keepsake& /*keepsake*/,
                     MutableTensorView out, ReportFields& /*report*/,
                     Executor& executor) const override {
    if (gate.values.size() != 1) {
      return absl::InternalError(absl::StrCat("gate of ", gate.values.size(), " values"));
    }
    const double scale = strength_ * gate.values[0] / sum_;
    return OverflowStatus(
        leaf, AddTaskVectors(leaf.base, leaf.experts, weights_, scale, out, executor), out.dtype);
  }

 private:
  std::vector<double> weights_;
  double strength_;
  double sum_ = 0;
};

// The config may have come from another version: every parameter is asked for.
// Here also belongs what only all parameters together show to be wrong.
absl::StatusOr<std::unique_ptr<MergeMethod>> SkeletonFrom(const MethodConfig& config) {
  MERGANSER_ASSIGN_OR_RETURN(std::vector<double> weights, GetPerModel(config, "weight"));
  MERGANSER_ASSIGN_OR_RETURN(const double strength, GetNumber(config, "strength"));
  double sum = 0;
  for (const double weight : weights) sum += weight;
  if (std::abs(sum) < 1e-8) {
    return absl::InvalidArgumentError(
        absl::StrCat("skeleton: the weights sum to ", sum, ", expected a sum away from zero"));
  }
  return MakeSkeleton(std::move(weights), strength);
}

}  // namespace

std::unique_ptr<MergeMethod> MakeSkeleton(std::vector<double> weights, double strength) {
  return std::make_unique<Skeleton>(std::move(weights), strength);
}

MethodInfo SkeletonMethod() {
  MethodInfo info;
  info.name = "skeleton";
  info.summary = "mean of the task vectors, as long as they are";
  info.paper = "none";
  info.base = BaseUse::kRequired;
  info.min_models = 1;
  info.max_models = 0;
  info.parameters = {WeightParameter(false),
                     NumberParameter("strength", 1, 0, 10, "factor of the merged task vector")};
  // All four hold here and are the defaults; a method says honestly which do not.
  info.properties = {true, true, true, true};
  info.make = SkeletonFrom;
  return info;
}

}  // namespace merganser
