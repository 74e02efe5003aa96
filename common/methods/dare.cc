#include "common/methods/dare.h"

#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/linalg/random_mask.h"
#include "common/methods/blocks.h"
#include "common/methods/gta.h"

namespace merganser {
namespace {

class RandomDrop final : public Sparsifier {
 public:
  RandomDrop(std::vector<double> density, uint64_t seed)
      : density_(std::move(density)), seed_(seed) {}

  bool Drops(size_t model) const override { return density_[model] < 1; }

  absl::Status Describe(const TensorSpec&, TensorNeeds&) const override { return absl::OkStatus(); }

  absl::StatusOr<std::unique_ptr<LeafMask>> MaskOf(const Leaf& leaf, std::span<const double>,
                                                   Executor&) const override {
    return std::make_unique<Mask>(density_, seed_, leaf);
  }

 private:
  class Mask final : public LeafMask {
   public:
    Mask(const std::vector<double>& density, uint64_t seed, const Leaf& leaf)
        : density_(density), first_(leaf.first_element) {
      for (size_t i = 0; i < density.size(); ++i) random_.emplace_back(seed, i, leaf.tensor->name);
    }

    void Drop(size_t model, uint64_t at, uint64_t n, double* d) const override {
      random_[model].Drop(first_ + at, RandomMask::Threshold(density_[model]), n, d);
    }

   private:
    const std::vector<double>& density_;
    uint64_t first_;
    std::vector<RandomMask> random_;
  };

  std::vector<double> density_;
  uint64_t seed_;
};

template <bool kConsensus>
absl::StatusOr<std::unique_ptr<MergeMethod>> DareFrom(const MethodConfig& config) {
  MERGANSER_ASSIGN_OR_RETURN(GtaParameters gta, GtaParametersFrom(config, kConsensus));
  MERGANSER_ASSIGN_OR_RETURN(std::vector<double> density, GetPerModel(config, "density"));
  MERGANSER_ASSIGN_OR_RETURN(const uint64_t seed, GetSeed(config));
  return MakeGta(std::move(gta), std::make_unique<RandomDrop>(std::move(density), seed));
}

MethodInfo Dare() {
  MethodInfo info;
  info.paper = "arXiv 2311.03099";
  info.parameters = GtaParameterSpecs(false, true);
  info.parameters.push_back(
      PerModel(NumberParameter("density", 1, 0, 1, "probability of an element to be kept")));
  info.parameters.push_back(SeedParameter());
  // Not normalized, the sum of N equal task vectors is N of them.
  info.properties.identical_experts = false;
  return info;
}

}  // namespace

MethodInfo DareLinearMethod() {
  MethodInfo info = Dare();
  info.name = "dare_linear";
  info.summary = "random elements of the task vectors, rescaled and summed";
  info.make = DareFrom<false>;
  return info;
}

MethodInfo DareTiesMethod() {
  MethodInfo info = Dare();
  info.name = "dare_ties";
  info.summary = "random elements of the task vectors, rescaled and summed where their signs agree";
  info.make = DareFrom<true>;
  return info;
}

}  // namespace merganser
