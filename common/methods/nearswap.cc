#include "common/methods/nearswap.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/base/status.h"
#include "common/linalg/convert.h"
#include "common/methods/elementwise.h"

namespace merganser {
namespace {

constexpr double kLeastDifference = 1e-6;

class Nearswap final : public Elementwise {
 public:
  explicit Nearswap(double t) : t_(t) {}

  std::string_view name() const override { return "nearswap"; }

  absl::StatusOr<TensorNeeds> Needs(const TensorSpec&) const override {
    TensorNeeds needs;
    needs.mode = "nearswap";
    return needs;
  }

  absl::Status Apply(const Leaf& leaf, const Gate&, const Keepsake&, MutableTensorView out,
                     ReportFields&, Executor& executor) const override {
    const auto fill = [&](uint64_t begin, uint64_t count, double* values) {
      double base[kFillElements];
      linalg::LoadDoubles(leaf.base.Slice(begin, count), base);
      linalg::LoadDoubles(leaf.experts[0].Slice(begin, count), values);
      for (uint64_t e = 0; e < count; ++e) {
        const double difference = std::abs(base[e] - values[e]);
        const double weight = std::min(t_ / std::max(difference, kLeastDifference), 1.0);
        // Equal values stay as they are, bit for bit.
        if (difference > 0) values[e] = weight * values[e] + (1 - weight) * base[e];
      }
    };
    return OverflowStatus(leaf, FillElements(out, executor, fill), out.dtype);
  }

 private:
  double t_;
};

absl::StatusOr<std::unique_ptr<MergeMethod>> NearswapFrom(const MethodConfig& config) {
  MERGANSER_ASSIGN_OR_RETURN(const double t, GetNumber(config, "t"));
  return MakeNearswap(t);
}

}  // namespace

std::unique_ptr<MergeMethod> MakeNearswap(double t) { return std::make_unique<Nearswap>(t); }

MethodInfo NearswapMethod() {
  MethodInfo info;
  info.name = "nearswap";
  info.summary = "base, drawn to the model where the two nearly agree";
  info.paper = "huggingface.co/alchemonaut/QuartetAnemoi-70B-t0.0001";
  info.min_models = info.max_models = 1;
  info.parameters = {
      Required(NumberParameter("t", 0.0001, 0, std::numeric_limits<double>::infinity(),
                               "elements that differ by no more become the model's"))};
  // Elements that differ by more than t stay close to the base.
  info.properties.identical_experts = false;
  info.make = NearswapFrom;
  return info;
}

}  // namespace merganser
