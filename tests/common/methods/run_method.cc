#include "tests/common/methods/run_method.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/executor.h"
#include "common/base/status.h"
#include "common/linalg/block_ops.h"
#include "common/linalg/convert.h"
#include "common/recipe/recipe.h"

namespace merganser {
namespace {

// One byte off any alignment, as tensors of a file may be.
class Stored {
 public:
  Stored(DType dtype, size_t size)
      : dtype_(dtype), size_(size), bytes_(size * BytesPerElement(dtype) + 1) {}
  Stored(DType dtype, const std::vector<double>& values) : Stored(dtype, values.size()) {
    linalg::StoreDoubles(values.data(), out());
  }

  TensorView view() const { return {bytes_.data() + 1, dtype_, size_}; }
  MutableTensorView out() { return {bytes_.data() + 1, dtype_, size_}; }
  std::vector<std::byte> bytes() const { return {bytes_.begin() + 1, bytes_.end()}; }
  std::vector<double> values() const {
    std::vector<double> values(linalg::PadLanes(size_));
    linalg::LoadDoubles(view(), values.data());
    values.resize(size_);
    return values;
  }

 private:
  DType dtype_;
  size_t size_;
  std::vector<std::byte> bytes_;
};

uint64_t LeafElements(const MethodRun& run, const Shape& shape, Split split, uint64_t size) {
  const uint64_t cols = shape.empty() ? 1 : shape.back();
  switch (split) {
    case Split::kWhole:
      return size;
    case Split::kMatrices:
      return size / shape[0];
    case Split::kRows:
      return std::max<uint64_t>(1, run.leaf_elements / cols) * cols;
    case Split::kElements:
      break;
  }
  return run.leaf_elements;
}

struct LeafWork {
  Leaf leaf;
  std::vector<TensorView> experts;
  MutableTensorView out;
  Keepsake keepsake;
};

}  // namespace

absl::StatusOr<MethodResult> RunMethod(const MergeMethod& method, const MethodRun& run) {
  const uint64_t size = run.experts.at(0).size();
  const TensorSpec spec{run.name, run.shape.empty() ? Shape{size} : run.shape, run.hints};
  MethodResult result;
  MERGANSER_ASSIGN_OR_RETURN(result.needs, method.Needs(spec));
  const TensorNeeds& needs = result.needs;

  const Stored base(run.in, run.base);
  std::vector<Stored> experts;
  for (const auto& expert : run.experts) {
    experts.emplace_back(run.in, expert);
    if (!run.deltas) continue;
    std::vector<double> delta = experts.back().values();
    const std::vector<double> from = base.values();
    for (size_t e = 0; e < delta.size(); ++e) delta[e] -= from[e];
    experts.back() = Stored(DType::kF64, delta);
  }
  Stored out(run.out, size);
  const uint64_t leaf_elements = LeafElements(run, spec.shape, needs.split, size);
  std::vector<LeafWork> leaves((size + leaf_elements - 1) / leaf_elements);
  for (size_t i = 0; i < leaves.size(); ++i) {
    LeafWork& work = leaves[i];
    const uint64_t begin = i * leaf_elements;
    const uint64_t count = std::min(leaf_elements, size - begin);
    for (const Stored& expert : experts) {
      work.experts.push_back(expert.view().Slice(begin, count));
      work.experts.back().delta = run.deltas;
    }
    const bool flat = needs.split == Split::kElements || spec.shape.empty();
    work.leaf.tensor = &spec;
    work.leaf.needs = &needs;
    work.leaf.index = i;
    work.leaf.first_element = begin;
    work.leaf.cols = static_cast<int64_t>(flat ? count : spec.shape.back());
    work.leaf.rows = static_cast<int64_t>(count) / work.leaf.cols;
    if (needs.reads_base && !run.base.empty()) work.leaf.base = base.view().Slice(begin, count);
    work.leaf.experts = work.experts;
    work.out = out.out().Slice(begin, count);
  }

  ThreadPool executor(run.helpers);
  ReportFields leaf_report;
  // Analyzes and reduces leaves [begin, end) until their gate is settled.
  const auto gate_of = [&](size_t begin, size_t end) -> absl::StatusOr<Gate> {
    Gate gate;
    int round = 0;
    for (; round < needs.rounds && !gate.settled; ++round) {
      GroupStats stats;
      for (size_t i = begin; i < end; ++i) {
        MERGANSER_ASSIGN_OR_RETURN(Analysis found,
                                   method.Analyze(leaves[i].leaf, round, gate, executor));
        AddCounts(found.stats.counts, stats.counts);
        stats.leaves.push_back({0, i, std::move(found.stats.sums)});
        stats.elements += leaves[i].out.size;
        if (!found.keepsake.values.empty()) leaves[i].keepsake = std::move(found.keepsake);
        if (i == 0)
          std::move(found.report.begin(), found.report.end(), std::back_inserter(leaf_report));
      }
      MERGANSER_ASSIGN_OR_RETURN(gate, method.Reduce(needs, round, gate, stats, result.report));
    }
    result.rounds = std::max(result.rounds, round);
    return gate;
  };
  const bool grouped = !needs.group.empty();
  Gate gate;
  if (grouped) {
    MERGANSER_ASSIGN_OR_RETURN(gate, gate_of(0, leaves.size()));
  }
  for (size_t i = 0; i < leaves.size(); ++i) {
    if (!grouped) {
      MERGANSER_ASSIGN_OR_RETURN(gate, gate_of(i, i + 1));
    }
    ReportFields unused;
    MERGANSER_RETURN_IF_ERROR(method.Apply(leaves[i].leaf, gate, leaves[i].keepsake, leaves[i].out,
                                           i == 0 ? leaf_report : unused, executor));
  }
  result.report.insert(result.report.end(), leaf_report.begin(), leaf_report.end());
  result.values = out.values();
  result.bytes = out.bytes();
  return result;
}

std::vector<double> RoundTo(DType dtype, const std::vector<double>& values) {
  return Stored(dtype, values).values();
}

std::unique_ptr<MergeMethod> MethodFromRecipe(std::string_view yaml) {
  const absl::StatusOr<Recipe> recipe = ParseRecipe(yaml, "r.yaml");
  if (!recipe.ok()) {
    ADD_FAILURE() << recipe.status();
    return nullptr;
  }
  const absl::StatusOr<ResolvedMethod> resolved =
      ResolveMethod(*recipe, [](const std::string& model) { return model; });
  if (!resolved.ok()) {
    ADD_FAILURE() << resolved.status() << "\n" << yaml;
    return nullptr;
  }
  absl::StatusOr<std::unique_ptr<MergeMethod>> method = MakeMethod(resolved->config);
  if (!method.ok()) {
    ADD_FAILURE() << method.status();
    return nullptr;
  }
  return *std::move(method);
}

std::string RecipeNamed(const MethodInfo& info, size_t models, const std::string& parameters) {
  std::string yaml = absl::StrCat("merge_method: ", std::string(info.name), "\n");
  if (info.base != BaseUse::kNone) absl::StrAppend(&yaml, "base_model: base\n");
  absl::StrAppend(&yaml, "models:\n");
  for (size_t i = 0; i < models; ++i) absl::StrAppend(&yaml, "- model: m", i, "\n");
  std::string all = parameters;
  for (const ParameterSpec& spec : info.parameters) {
    if (!spec.required || absl::StrCat(", ", parameters).find(absl::StrCat(", ", spec.key, ":")) !=
                              std::string::npos) {
      continue;
    }
    absl::StrAppend(&all, all.empty() ? "" : ", ", spec.key, ": 1");
  }
  absl::StrAppend(&yaml, "parameters: {", all, "}\n");
  return yaml;
}

std::unique_ptr<MergeMethod> MethodNamed(std::string_view name, size_t models,
                                         const std::string& parameters) {
  const MethodInfo* info = FindMethod(name);
  if (info == nullptr) {
    ADD_FAILURE() << "no method " << name;
    return nullptr;
  }
  return MethodFromRecipe(RecipeNamed(*info, models, parameters));
}

}  // namespace merganser
