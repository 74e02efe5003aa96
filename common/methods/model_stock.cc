#include "common/methods/model_stock.h"

#include <algorithm>
#include <cmath>

#include "common/base/status.h"
#include "common/methods/gram_method.h"

namespace merganser {
namespace {

constexpr double kLeastNorms = 1e-6;  // smaller products of norms count as this
constexpr double kSingular = 1e-6;    // smaller divisors: no estimate, the base stays

class ModelStock final : public GramMethod {
 public:
  ModelStock(size_t models, bool filter_wise)
      : GramMethod("model_stock", models, Vectors::kTaskVectors,
                   filter_wise ? Extent::kRow : Extent::kTensor),
        models_(models) {}

 protected:
  // With the mean cosine c of all pairs, t = N c / (1 + (N - 1) c) and the output
  // is t * mean + (1 - t) * base (section 3 of the paper).
  void Coefficients(const TriangleView& gram, std::span<double> coefficients,
                    ReportFields* report) const override {
    const auto n = static_cast<double>(models_);
    double sum = 0;
    for (size_t i = 0; i < models_; ++i) {
      for (size_t j = i + 1; j < models_; ++j) {
        const double norms = std::sqrt(gram(i, i)) * std::sqrt(gram(j, j));
        sum += std::clamp(gram(i, j) / std::max(norms, kLeastNorms), -1.0, 1.0);
      }
    }
    const double cosine = sum / (n * (n - 1) / 2);
    const double divisor = 1 + (n - 1) * cosine;
    const double t = std::abs(divisor) < kSingular ? 0 : n * cosine / divisor;
    std::fill(coefficients.begin(), coefficients.end(), t / n);
    if (report != nullptr) {
      report->push_back({"cosine", {cosine}});
      report->push_back({"t", {t}});
    }
  }

 private:
  size_t models_;
};

absl::StatusOr<std::unique_ptr<MergeMethod>> ModelStockFrom(const MethodConfig& config) {
  MERGANSER_ASSIGN_OR_RETURN(const double filter_wise, GetNumber(config, "filter_wise"));
  if (config.per_model.size() < 2) {
    return absl::InvalidArgumentError("model_stock: takes at least 2 models besides the base");
  }
  return MakeModelStock(config.per_model.size(), filter_wise != 0);
}

}  // namespace

std::unique_ptr<MergeMethod> MakeModelStock(size_t models, bool filter_wise) {
  return std::make_unique<ModelStock>(models, filter_wise);
}

MethodInfo ModelStockMethod() {
  MethodInfo info;
  info.name = "model_stock";
  info.summary = "between base and mean of the models, by the angle between task vectors";
  info.paper = "arXiv 2403.19522";
  info.min_models = 2;
  info.parameters = {
      BooleanParameter("filter_wise", false, "an angle for every row along the last dimension")};
  info.make = ModelStockFrom;
  return info;
}

}  // namespace merganser
