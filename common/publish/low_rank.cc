#include "common/publish/low_rank.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/shown.h"
#include "common/linalg/small_dense.h"
#include "common/publish/model_card.h"
#include "common/publish/sample_reader.h"

namespace merganser {
namespace {

constexpr std::string_view kMethod = "resmerge";
constexpr std::string_view kOpening =
    "resmerge gives back the base where experts differ from it by no more directions than "
    "rank_topk, ";
constexpr uint64_t kElements = 65'536;
constexpr uint64_t kMostRows = 64;
constexpr size_t kMostSamples = 12;
constexpr size_t kNamed = 3;  // experts that a warning names

struct Count {
  size_t changed = 0;
  size_t low = 0;
};
using ByModel = std::map<uint32_t, Count>;  // by model

int RankOf(const MethodConfig& method) {
  const auto rank = method.numbers.find("rank_topk");
  return rank == method.numbers.end() ? 0 : static_cast<int>(rank->second);
}

// One line of those in `counts` of whose changed matrices at least half are of low rank, or all;
// none where there is no such.
template <typename NameOf>
std::vector<std::string> Warn(const Plan& plan, const ByModel& counts, const std::string& looked_at,
                              bool all, NameOf name_of) {
  std::vector<std::string> named;
  size_t found = 0;
  for (const auto& [model, count] : counts) {
    const size_t least = all ? count.changed : (count.changed + 1) / 2;
    if (count.low == 0 || count.low < least) continue;
    if (++found > kNamed) continue;
    named.push_back(absl::StrCat(Shown(name_of(plan.models[model])), ", ", count.low, " of ",
                                 count.changed, " ", looked_at));
  }
  if (found == 0) return {};
  if (found > kNamed) named.push_back(absl::StrCat(found - kNamed, " more"));
  const int rank = RankOf(plan.method);
  return {absl::StrCat(std::string(kOpening), rank,
                       ", as merged adapters (LoRA) of such a rank do, and little of what they "
                       "learned is in the output: found ",
                       absl::StrJoin(named, "; "), "; use task_arithmetic, linear or ties for them",
                       rank > 1 ? ", or a smaller rank_topk" : "")};
}

// Of tensors that adapters change, whose ranks are known; DoRA's have none.
ByModel CountKnown(const Plan& plan) {
  ByModel counts;
  for (const PlannedTensor& tensor : plan.tensors) {
    if (!tensor.has_base_source || tensor.needs.rounds == 0) continue;
    for (size_t s = 1; s < tensor.sources.size(); ++s) {
      const PlannedSource& source = tensor.sources[s];
      if (!source.update.has_value()) continue;
      uint64_t rank = 0;
      for (const LowRankTerm& term : source.update->terms) rank += term.rank;
      Count& count = counts[source.model];
      ++count.changed;
      count.low += !source.update->magnitudes.has_value() &&
                   rank <= static_cast<uint64_t>(std::max(0, RankOf(MethodOf(plan, tensor))));
    }
  }
  return counts;
}

std::string GivenName(const PlannedModel& model) { return model.given; }

bool IsSample(const PlannedTensor& tensor, const MethodConfig& method) {
  const Shape& shape = tensor.spec.shape;
  if (!tensor.has_base_source || tensor.needs.rounds == 0 || shape.size() < 2) return false;
  const uint64_t least = 2 * static_cast<uint64_t>(RankOf(method)) + 2;
  return shape.back() >= least && shape.back() <= kElements / least &&
         shape[shape.size() - 2] >= least &&
         std::all_of(tensor.sources.begin(), tensor.sources.end(), CanSample);
}

// Spread over the model.
std::vector<const PlannedTensor*> Samples(const Plan& plan) {
  std::vector<const PlannedTensor*> all, some;
  for (const PlannedTensor& tensor : plan.tensors) {
    if (IsSample(tensor, MethodOf(plan, tensor))) all.push_back(&tensor);
  }
  const size_t count = std::min(kMostSamples, all.size());
  for (size_t i = 0; i < count; ++i) some.push_back(all[(2 * i + 1) * all.size() / (2 * count)]);
  return some;
}

// The part of the squared norm of a matrix of few rows that lies in its `rank` leading directions;
// nullopt for a zero matrix.
std::optional<double> HeadEnergy(const std::vector<double>& values, size_t rows, int rank) {
  const size_t cols = values.size() / rows;
  std::vector<double> gram(rows * rows);
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j <= i; ++j) {
      double sum = 0;
      for (size_t c = 0; c < cols; ++c) sum += values[i * cols + c] * values[j * cols + c];
      gram[i * rows + j] = gram[j * rows + i] = sum;
    }
  }
  double all = 0, head = 0;
  for (size_t i = 0; i < rows; ++i) all += gram[i * rows + i];
  if (!(all > 0) || !std::isfinite(all)) return std::nullopt;
  const linalg::SymmetricEigen eigen = linalg::EigenDecompose(gram.data(), rows, rows, rows - 1);
  for (size_t i = 0; i < std::min(rows, static_cast<size_t>(rank)); ++i) {
    head += std::max(0.0, eigen.values[i]);
  }
  return head / all;
}

bool IsLow(double energy) { return energy >= 1 - kLowRankResidual * kLowRankResidual; }

// Of all matrices, as they were measured.
ByModel CountMeasured(const Plan& plan, const std::vector<UnitResult>& results) {
  ByModel counts;
  if (plan.method.method != kMethod) return counts;
  std::set<std::pair<uint32_t, uint64_t>> seen;
  const auto field = [](const LeafReport& leaf, std::string_view key) -> const ReportField* {
    const auto it = std::find_if(leaf.fields.begin(), leaf.fields.end(),
                                 [&](const ReportField& own) { return own.key == key; });
    return it == leaf.fields.end() ? nullptr : &*it;
  };
  for (const UnitResult& result : results) {
    for (const LeafReport& leaf : result.leaves) {
      const ReportField* const residuals = field(leaf, "residual_norm");
      const ReportField* const heads = field(leaf, "head_norm");
      if (residuals == nullptr || heads == nullptr || leaf.tensor >= plan.tensors.size() ||
          !seen.emplace(leaf.tensor, leaf.leaf).second) {
        continue;
      }
      const std::vector<PlannedSource>& sources = plan.tensors[leaf.tensor].sources;
      const size_t experts = std::min(residuals->values.size(), heads->values.size());
      for (size_t i = 0; i < experts && i + 1 < sources.size(); ++i) {
        const double head = heads->values[i], residual = residuals->values[i];
        if (sources[i + 1].model == 0 || !(head > 0))
          continue;  // it lacks the tensor, or has not changed it
        Count& count = counts[sources[i + 1].model];
        ++count.changed;
        count.low += residual <= kLowRankResidual * std::hypot(head, residual);
      }
    }
  }
  return counts;
}

}  // namespace

std::vector<std::string> LowRankExperts(const Plan& plan, const Stores& stores) {
  if (plan.method.method != kMethod) return {};
  SampleReader reader(plan, stores);
  ByModel counts;
  for (const PlannedTensor* const tensor : Samples(plan)) {
    const uint64_t cols = tensor->spec.shape.back();
    const uint64_t all = tensor->spec.shape[tensor->spec.shape.size() - 2];
    const uint64_t rows = std::min({kMostRows, kElements / cols, all});
    // Rows of one matrix, where there are several.
    const uint64_t first = tensor->elements / (all * cols) / 2 * all + (all - rows) / 2;
    const auto base = reader.Read(tensor->sources[0], first * cols, rows * cols);
    if (!base.ok()) return {};
    for (size_t s = 1; s < tensor->sources.size(); ++s) {
      const PlannedSource& source = tensor->sources[s];
      if (source.model == 0) continue;  // it lacks the tensor
      auto delta = reader.Read(source, first * cols, rows * cols);
      if (!delta.ok()) return {};
      for (size_t i = 0; i < delta->size(); ++i) (*delta)[i] -= (*base)[i];
      const std::optional<double> energy =
          HeadEnergy(*delta, rows, RankOf(MethodOf(plan, *tensor)));
      if (!energy.has_value()) continue;
      Count& count = counts[source.model];
      ++count.changed;
      count.low += IsLow(*energy);
    }
  }
  std::vector<std::string> warnings = Warn(plan, counts, "samples", /*all=*/true, GivenName);
  for (std::string& known :
       Warn(plan, CountKnown(plan), "matrices that adapters change", /*all=*/false, GivenName)) {
    warnings.push_back(std::move(known));
  }
  return warnings;
}

std::vector<std::string> WarningsOf(const Plan& plan, const std::vector<UnitResult>& results) {
  const ByModel counts = CountMeasured(plan, results);
  if (counts.empty()) return plan.warnings;
  std::vector<std::string> warnings;
  for (const std::string& warning : plan.warnings) {
    if (!warning.starts_with(kOpening)) warnings.push_back(warning);
  }
  for (std::string& warning : Warn(plan, counts, "changed matrices", /*all=*/false, GivenName)) {
    warnings.push_back(std::move(warning));
  }
  return warnings;
}

std::vector<std::string> CardWarnings(const Plan& plan, const std::vector<UnitResult>& results) {
  return Warn(plan, CountMeasured(plan, results), "changed matrices", /*all=*/false, DisplayModel);
}

}  // namespace merganser
