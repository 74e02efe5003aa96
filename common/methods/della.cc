#include "common/methods/della.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/linalg/magnitude_keys.h"
#include "common/linalg/random_mask.h"
#include "common/linalg/row_sorter.h"
#include "common/methods/blocks.h"
#include "common/methods/gta.h"

namespace merganser {
namespace {

struct DellaParameters {
  std::vector<double> density;
  std::vector<double> epsilon;
  uint64_t seed = 0;
};

// What is kept, a byte an element and model: a row's ranks are needed as a whole.
class KeptBytes final : public LeafMask {
 public:
  KeptBytes(size_t models, uint64_t elements) : elements_(elements), kept_(models * elements) {}

  uint8_t* of(size_t model) { return kept_.data() + model * elements_; }

  void Drop(size_t model, uint64_t at, uint64_t n, double* d) const override {
    const uint8_t* kept = kept_.data() + model * elements_ + at;
    for (uint64_t e = 0; e < n; ++e) d[e] = KeepIf(kept[e] != 0, d[e]);
  }

 private:
  uint64_t elements_;
  std::vector<uint8_t> kept_;
};

// Ranks within a row have 32 bits.
constexpr uint64_t kMaxCols = 0xFFFFFFFF;

// An element of a row that is worked on: its key, its place in the order, its draw,
// and what the draw must be below there.
constexpr uint64_t kRowBytes = sizeof(uint32_t) + 3 * sizeof(uint64_t);

class MagnitudePrune final : public Sparsifier {
 public:
  explicit MagnitudePrune(DellaParameters parameters) : p_(std::move(parameters)) {}

  bool Drops(size_t model) const override { return p_.density[model] < 1; }

  absl::Status Describe(const TensorSpec& tensor, TensorNeeds& needs) const override {
    const uint64_t cols = tensor.shape.empty() ? 1 : tensor.shape.back();
    if (cols > kMaxCols) {
      return absl::InvalidArgumentError(
          absl::StrCat("found rows of ", cols, " elements, expected at most ", kMaxCols));
    }
    needs.split = Split::kRows;
    needs.workspace_bytes = LargestLeaf(tensor, needs.split) * (p_.density.size() + kRowBytes);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<LeafMask>> MaskOf(const Leaf& leaf, std::span<const double>,
                                                   Executor& executor) const override {
    auto mask = std::make_unique<KeptBytes>(p_.density.size(), leaf.base.size);
    const auto rows = static_cast<uint64_t>(leaf.rows), cols = static_cast<uint64_t>(leaf.cols);
    const uint64_t run = std::max<uint64_t>(1, kBlockElements / std::max<uint64_t>(1, cols));
    for (size_t model = 0; model < p_.density.size(); ++model) {
      if (!Drops(model)) continue;
      uint8_t* kept = mask->of(model);
      // At density 0, nothing.
      if (p_.density[model] <= 0) continue;
      const std::vector<uint64_t> below = Thresholds(model, cols);
      const RandomMask random(p_.seed, model, leaf.tensor->name);
      executor.ParallelFor(rows / run + (rows % run != 0), [&](size_t b) {
        std::vector<uint32_t> keys(cols);
        std::vector<uint64_t> draws(cols);
        linalg::RowSorter sorter;
        for (uint64_t row = b * run; row < std::min(rows, (b + 1) * run); ++row) {
          LoadKeys(leaf, model, row * cols, keys);
          const std::span<const uint64_t> order = sorter.Sort(keys);
          random.Draws(leaf.first_element + row * cols, cols, draws.data());
          for (uint64_t rank = 0; rank < cols; ++rank) {
            const auto e = static_cast<uint32_t>(order[rank]);
            kept[row * cols + e] = draws[e] < below[rank];
          }
        }
      });
    }
    return mask;
  }

 private:
  static void LoadKeys(const Leaf& leaf, size_t model, uint64_t first,
                       std::vector<uint32_t>& keys) {
    double d[kChunkElements];
    ForChunks(0, keys.size(), [&](uint64_t at, uint64_t n) {
      linalg::LoadDelta(leaf.base.Slice(first + at, n), leaf.experts[model].Slice(first + at, n),
                        1.0, d);
      linalg::MagnitudeKeys(d, 1, n, keys.data() + at);
    });
  }

  // What the draw of the element of a rank must be below, by rank.
  std::vector<uint64_t> Thresholds(size_t model, uint64_t cols) const {
    const double least = p_.density[model] - p_.epsilon[model];
    const double span = 2 * p_.epsilon[model];
    const double last = static_cast<double>(std::max<uint64_t>(cols, 2) - 1);
    std::vector<uint64_t> below(cols);
    for (uint64_t rank = 0; rank < cols; ++rank) {
      below[rank] = RandomMask::Threshold(least + span * (static_cast<double>(rank) / last));
    }
    return below;
  }

  DellaParameters p_;
};

absl::Status CheckProbabilities(const DellaParameters& p, const std::string& method) {
  for (size_t i = 0; i < p.density.size(); ++i) {
    const double density = p.density[i], epsilon = p.epsilon[i];
    if (density <= 0 || density >= 1) continue;
    if (density - epsilon > 0 && density + epsilon < 1) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        method, ": found density ", density, " with epsilon ", epsilon, " for model ", i + 1,
        " of those that take part, expected density - epsilon above 0 and density + epsilon "
        "below 1: they are the probabilities of the smallest and the largest element"));
  }
  return absl::OkStatus();
}

template <bool kConsensus>
absl::StatusOr<std::unique_ptr<MergeMethod>> DellaFrom(const MethodConfig& config) {
  MERGANSER_ASSIGN_OR_RETURN(GtaParameters gta, GtaParametersFrom(config, kConsensus));
  DellaParameters della;
  MERGANSER_ASSIGN_OR_RETURN(della.density, GetPerModel(config, "density"));
  MERGANSER_ASSIGN_OR_RETURN(della.epsilon, GetPerModel(config, "epsilon"));
  MERGANSER_ASSIGN_OR_RETURN(della.seed, GetSeed(config));
  MERGANSER_RETURN_IF_ERROR(CheckProbabilities(della, config.method));
  return MakeGta(std::move(gta), std::make_unique<MagnitudePrune>(std::move(della)));
}

MethodInfo Della(bool normalize) {
  MethodInfo info;
  info.paper = "arXiv 2406.11617";
  info.parameters = GtaParameterSpecs(normalize, true);
  info.parameters.push_back(
      PerModel(NumberParameter("density", 1, 0, 1, "mean probability of an element to be kept")));
  info.parameters.push_back(PerModel(NumberParameter(
      "epsilon", 0.15, 0, 1,
      "how far the probability of a row's smallest and largest element is from density")));
  info.parameters.push_back(SeedParameter());
  return info;
}

}  // namespace

MethodInfo DellaMethod() {
  MethodInfo info = Della(true);
  info.name = "della";
  info.summary =
      "random elements of the task vectors, large ones more likely, rescaled and summed where "
      "their signs agree";
  info.make = DellaFrom<true>;
  return info;
}

MethodInfo DellaLinearMethod() {
  MethodInfo info = Della(false);
  info.name = "della_linear";
  info.summary = "random elements of the task vectors, large ones more likely, rescaled and summed";
  // Not normalized, the sum of N equal task vectors is N of them.
  info.properties.identical_experts = false;
  info.make = DellaFrom<false>;
  return info;
}

}  // namespace merganser
