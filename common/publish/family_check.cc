#include "common/publish/family_check.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/format.h"
#include "common/base/shown.h"
#include "common/checkpoint/layers.h"
#include "common/publish/equal_models.h"
#include "common/publish/low_rank.h"
#include "common/publish/sample_reader.h"

namespace merganser {
namespace {

constexpr uint64_t kElements = 65'536;
// Shorter sides are those of norms, routers and the like.
constexpr uint64_t kLeastSide = 16;
constexpr size_t kSamples = 3;

// A matrix of a layer that the base and every expert have.
bool IsSample(const Plan& plan, const PlannedTensor& tensor) {
  const Shape& shape = tensor.spec.shape;
  return tensor.has_base_source && tensor.sources.size() == plan.models.size() &&
         shape.size() >= 2 && shape[shape.size() - 1] >= kLeastSide &&
         shape[shape.size() - 2] >= kLeastSide && ParseLayer(tensor.spec.name).has_value() &&
         std::all_of(tensor.sources.begin(), tensor.sources.end(), CanSample);
}

std::vector<uint32_t> Samples(const Plan& plan) {
  std::vector<uint32_t> all;
  for (uint32_t i = 0; i < plan.tensors.size(); ++i) {
    if (IsSample(plan, plan.tensors[i])) all.push_back(i);
  }
  if (all.size() <= kSamples) return all;
  // Not the very first and last, which may be unlike the others.
  return {all[all.size() / 6], all[all.size() / 2], all[all.size() - 1 - all.size() / 6]};
}

// From the middle of the tensor.
absl::StatusOr<std::vector<double>> ReadMiddle(SampleReader& reader, const PlannedTensor& tensor,
                                               const PlannedSource& source) {
  const uint64_t count = std::min(kElements, tensor.elements);
  return reader.Read(source, (tensor.elements - count) / 2, count);
}

// |expert - base| / |base|; nullopt where that says nothing.
std::optional<double> Distance(std::span<const double> base, std::span<const double> expert) {
  double norm = 0, distance = 0;
  for (size_t i = 0; i < base.size(); ++i) {
    norm += base[i] * base[i];
    distance += (expert[i] - base[i]) * (expert[i] - base[i]);
  }
  if (!(norm > 0) || !std::isfinite(distance)) return std::nullopt;
  return std::sqrt(distance / norm);
}

struct Found {
  size_t looked_at = 0;
  std::vector<std::string> far;  // "1.41 of NAME"
};

std::string WarningOf(const Plan& plan, uint32_t model, const Found& found) {
  return absl::StrCat(
      Shown(plan.models[model].given), ": found it as far from ", Shown(plan.models[0].given),
      " as an unrelated model is (the distance as a part of the base's norm, on samples: ",
      absl::StrJoin(found.far, ", "), "), expected below ", kForeignDistance,
      " of an expert that was trained from it: see whether base_model is the model that this "
      "expert began with, and the same version of it");
}

}  // namespace

std::vector<std::string> ForeignExperts(const Plan& plan, const Stores& stores) {
  std::vector<std::string> warnings;
  SampleReader reader(plan, stores);
  std::map<uint32_t, Found> experts;
  for (const uint32_t sample : Samples(plan)) {
    const PlannedTensor& tensor = plan.tensors[sample];
    const auto base = ReadMiddle(reader, tensor, tensor.sources[0]);
    if (!base.ok()) return warnings;
    for (size_t s = 1; s < tensor.sources.size(); ++s) {
      const PlannedSource& source = tensor.sources[s];
      const auto expert = ReadMiddle(reader, tensor, source);
      if (!expert.ok()) return warnings;
      const std::optional<double> distance = Distance(*base, *expert);
      if (!distance.has_value()) continue;
      Found& found = experts[source.model];
      ++found.looked_at;
      if (*distance < kForeignDistance) continue;
      found.far.push_back(Formatted("%.2f of %s", *distance, Shown(tensor.spec.name)));
    }
  }
  for (const auto& [model, found] : experts) {
    if (2 * found.far.size() > found.looked_at) warnings.push_back(WarningOf(plan, model, found));
  }
  return warnings;
}

std::vector<std::string> LookAtModels(const Plan& plan, const Stores& stores) {
  std::vector<std::string> warnings = ForeignExperts(plan, stores);
  for (std::string& warning : EqualModels(plan, stores)) warnings.push_back(std::move(warning));
  for (std::string& warning : LowRankExperts(plan, stores)) warnings.push_back(std::move(warning));
  return warnings;
}

}  // namespace merganser
