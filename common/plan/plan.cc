#include "common/plan/plan.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/checked.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/checkpoint/decoded.h"
#include "common/methods/condition_checks.h"
#include "common/methods/model_structure.h"
#include "common/plan/departures.h"
#include "common/plan/digest.h"
#include "common/plan/encoding.h"
#include "common/plan/folded_lines.h"
#include "common/plan/layout.h"
#include "common/plan/pieces.h"
#include "common/plan/planned_origins.h"
#include "common/plan/rank_notes.h"

namespace merganser {
namespace {

// True when most of the reference's float elements are 16-bit: then tensors that
// it keeps in F32 (router biases, state-space parameters) are so on purpose.
bool MostlyHalfPrecision(const Alignment& alignment) {
  uint64_t half = 0, other = 0;
  for (const AlignedTensor& tensor : alignment.tensors) {
    if (!IsComputable(tensor.dtype)) continue;
    uint64_t elements = 1;
    for (uint64_t side : tensor.shape) elements *= side;
    (BytesPerElement(tensor.dtype) == 2 ? half : other) += elements;
  }
  return half > other;
}

// Layers of several models are loaded by what the reference's config says of its own, so that all
// must be of one form; and nothing says which layer's scales of activations a stacked one has.
absl::Status CheckSourceForm(const std::vector<const Checkpoint*>& models,
                             const ResolvedMethod& resolved, Plan& plan) {
  const Checkpoint& reference = *models[resolved.reference];
  const bool encodes =
      std::any_of(plan.tensors.begin(), plan.tensors.end(),
                  [](const PlannedTensor& tensor) { return tensor.encoding.has_value(); });
  constexpr char kKey[] = "key 'out_dtype': found source";
  if (!encodes) {
    plan.notes.push_back(absl::StrCat(kKey, ": model ", Shown(reference.given),
                                      " has no tensors with scales, so that it changes nothing"));
  }
  if (SlicesOf(resolved).empty()) return absl::OkStatus();
  for (const Checkpoint* model : models) {
    const ModelConfig &a = reference.config, &b = model->config;
    if (a.quantization_method == b.quantization_method &&
        a.quantised_blocks == b.quantised_blocks && a.scales_are_powers == b.scales_are_powers &&
        HasDecoded(reference) == HasDecoded(*model) && model->left_out.empty()) {
      continue;
    }
    return absl::InvalidArgumentError(absl::StrCat(
        kKey, " for stacked layers, and model ", Shown(model->given),
        model->left_out.empty()
            ? absl::StrCat(" is stored in another form than ", Shown(reference.given))
            : " has scales of activations, which belong to its own layers",
        "; expected models of one form without such scales, or a dtype (out_dtype: bfloat16)"));
  }
  return absl::OkStatus();
}

DType OutputDType(const Recipe& recipe, const AlignedTensor& tensor, bool mostly_half) {
  if (tensor.copied || !recipe.out_dtype.has_value()) return tensor.dtype;
  if (tensor.dtype == DType::kF32 && BytesPerElement(*recipe.out_dtype) == 2 && mostly_half) {
    return tensor.dtype;
  }
  return *recipe.out_dtype;
}

// Copied tensors are no business of methods.
TensorNeeds CopyNeeds() {
  TensorNeeds needs;
  needs.mode = "copy";
  return needs;
}

// Keeps every later product of sizes far from overflow.
absl::Status CheckSize(const TensorSpec& tensor) {
  std::optional<uint64_t> elements = 1;
  for (const uint64_t side : tensor.shape) {
    if (elements.has_value()) elements = CheckedMul(*elements, side);
  }
  if (elements.has_value() && *elements <= kMaxElements) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("tensor ", Shown(tensor.name),
                                                 ": found more than ", kMaxElements,
                                                 " elements, expected at most as many"));
}

// A group's leaves are of the same models, as many of them base as others. One that
// counts as unchanged is itself, wherever its values are read.
bool SameModels(const AlignedTensor& a, const AlignedTensor& b) {
  return std::equal(
      a.sources.begin(), a.sources.end(), b.sources.begin(), b.sources.end(),
      [](const TensorSource& x, const TensorSource& y) { return x.stands_for == y.stands_for; });
}

// Puts the tensor into the group that its method names. All of a group are reduced
// by one method.
absl::Status JoinGroup(uint32_t index, const Alignment& alignment,
                       std::map<std::string, int32_t>& keys, Plan& plan) {
  PlannedTensor& tensor = plan.tensors[index];
  if (tensor.needs.group.empty() || tensor.needs.rounds == 0 || tensor.leaves == 0) {
    return absl::OkStatus();
  }
  const auto [it, added] =
      keys.try_emplace(tensor.needs.group, static_cast<int32_t>(plan.groups.size()));
  if (added) plan.groups.push_back({tensor.needs.group, {}, 0, false});
  tensor.group = it->second;
  PlannedGroup& group = plan.groups[static_cast<size_t>(it->second)];
  if (!group.tensors.empty()) {
    const PlannedTensor& first = plan.tensors[group.tensors[0]];
    if (first.method != tensor.method || first.needs.rounds != tensor.needs.rounds) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensors ", Shown(first.spec.name), " and ", Shown(tensor.spec.name), " share one gate (",
          Shown(group.key),
          ") and have different parameters; expected gradients and filters only where the scope "
          "is a tensor, or a scope within which they do not change"));
    }
    if (first.has_base_source != tensor.has_base_source ||
        !SameModels(alignment.tensors[group.tensors[0]], alignment.tensors[index])) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensors ", Shown(first.spec.name), " and ", Shown(tensor.spec.name), " share one gate (",
          Shown(group.key),
          ") and are merged from different models; expected slices of the same models, or a "
          "scope within one slice"));
    }
  }
  group.tensors.push_back(index);
  return absl::OkStatus();
}

// Rows that lie elsewhere, as parts: of the stored type where all are of one and none is a mean.
void AddParts(const std::vector<const Checkpoint*>& models, const TensorSource& source,
              uint64_t elements, PlannedSource& out) {
  uint64_t rows = 0;
  for (const SourceRows& run : source.rows) rows += run.rows;
  std::optional<DType> dtype;
  bool exact = true, wide = false;
  for (const SourceRows& run : source.rows) {
    SourcePart& part = out.parts.emplace_back();
    const uint64_t columns = elements / rows;
    part.elements = run.rows * columns;
    exact = exact && run.of.size() <= 1;
    for (const SourceRows::Origin& origin : run.of) {
      const CheckpointTensor& tensor = models[origin.model]->tensors[origin.tensor];
      part.of.push_back({origin.model, tensor.shard,
                         tensor.offset + origin.row * columns * BytesPerElement(tensor.dtype),
                         tensor.dtype});
      exact = exact && dtype.value_or(tensor.dtype) == tensor.dtype;
      wide = wide || tensor.dtype == DType::kF64;
      dtype = tensor.dtype;
    }
  }
  if (!out.parts.empty() && !exact) out.dtype = wide ? DType::kF64 : DType::kF32;
  if (!out.parts.empty() && exact && dtype.has_value()) out.dtype = *dtype;
}

// `as`: another name of the tensor, in the output and in all models; or empty.
TensorPlace PlaceOf(const AlignedTensor& aligned, const std::string& as) {
  TensorPlace place;
  place.name = as.empty() ? aligned.name : as;
  place.slice = aligned.slice;
  for (const TensorSource& source : aligned.sources) {
    place.inputs.push_back(as.empty() ? source.name : as);
  }
  if (aligned.layer.has_value()) {
    // A single layer stands at the end of a gradient, as in mergekit.
    place.t = aligned.layers <= 1
                  ? 1
                  : static_cast<double>(*aligned.layer) / static_cast<double>(aligned.layers - 1);
  }
  return place;
}

// Parameters that a filter gives to another name of a tied tensor alone have no effect.
void NoteAliasParameters(const ResolvedMethod& resolved, const AlignedTensor& aligned, Plan& plan) {
  const absl::StatusOr<MethodConfig> own = resolved.ConfigFor(PlaceOf(aligned, ""));
  for (const std::string& alias : aligned.aliases) {
    const absl::StatusOr<MethodConfig> other = resolved.ConfigFor(PlaceOf(aligned, alias));
    if (own.ok() && other.ok() && *own == *other) continue;
    plan.warnings.push_back(absl::StrCat("tensor ", OneLine(aligned.name),
                                         ": the recipe has other parameters for ", OneLine(alias),
                                         ", which is the same tensor under another name: those of ",
                                         OneLine(aligned.name), " hold"));
  }
}

// The methods of a plan in the making: one a distinct config, in order of their
// first tensors.
class SettledMethods {
 public:
  explicit SettledMethods(const ResolvedMethod& resolved) : resolved_(resolved) {}

  struct Settled {
    uint32_t index = 0;  // into configs()
    const MergeMethod* method = nullptr;
  };
  absl::StatusOr<Settled> For(const AlignedTensor& aligned) {
    absl::StatusOr<MethodConfig> config = resolved_.ConfigFor(PlaceOf(aligned, aligned.merged_as));
    if (!config.ok()) {  // begins with the recipe's line
      return absl::Status(
          config.status().code(),
          absl::StrCat(config.status().message(), ", for tensor ", Shown(aligned.name)));
    }
    const auto [it, added] =
        index_.try_emplace(MethodDigest(*config), static_cast<uint32_t>(configs_.size()));
    if (added) {
      absl::StatusOr<std::unique_ptr<MergeMethod>> made = MakeMethod(*config);
      if (!made.ok()) {
        return Annotate(made.status(), absl::StrCat(resolved_.context.source_name, ": tensor ",
                                                    Shown(aligned.name)));
      }
      made_.push_back(*std::move(made));
      configs_.push_back(*std::move(config));
    }
    return Settled{it->second, made_[it->second].get()};
  }
  std::vector<MethodConfig>& configs() { return configs_; }

 private:
  const ResolvedMethod& resolved_;
  std::map<std::string, uint32_t> index_;
  std::vector<MethodConfig> configs_;
  std::vector<std::unique_ptr<MergeMethod>> made_;
};

std::vector<TensorSpec> SpecsOf(const Alignment& alignment) {
  std::vector<TensorSpec> specs;
  specs.reserve(alignment.tensors.size());
  for (const AlignedTensor& tensor : alignment.tensors) {
    specs.push_back({tensor.name, tensor.shape});
  }
  return specs;
}

// Sorts the configs into the plan: the default first, if any tensor has it, else
// that of the first tensor. `used` has the config of every tensor, none for
// those that are copied.
void NumberMethods(const ResolvedMethod& resolved, SettledMethods& methods,
                   const std::vector<std::optional<uint32_t>>& used, Plan& plan) {
  std::vector<MethodConfig>& configs = methods.configs();
  if (configs.empty()) {
    plan.method = resolved.config;
    return;
  }
  uint32_t first = 0;
  for (uint32_t i = 0; resolved.has_default && i < configs.size(); ++i) {
    if (configs[i] == resolved.config) first = i;
  }
  for (size_t t = 0; t < used.size(); ++t) {
    const std::optional<uint32_t> config = used[t];
    if (!config.has_value()) continue;
    plan.tensors[t].method = *config == first ? 0 : *config < first ? *config + 1 : *config;
  }
  plan.method = configs[first];
  for (uint32_t i = 0; i < configs.size(); ++i) {
    if (i != first) plan.overrides.push_back(configs[i]);
  }
}

}  // namespace

bool MergesWholeModels(const Plan& plan) {
  for (const PlannedTensor& tensor : plan.tensors) {
    if (tensor.sources.empty() || tensor.needs.mode == "copy") continue;
    const size_t first = plan.has_base && !tensor.has_base_source;
    if (tensor.sources.size() + first != plan.models.size()) return false;
    for (size_t k = 0; k < tensor.sources.size(); ++k) {
      // The base stands in for a model that lacks the tensor.
      const bool stands_in = plan.has_base && tensor.sources[k].model == 0;
      if (tensor.sources[k].model != k + first && !stands_in) return false;
      if (!tensor.tied && tensor.sources[k].tensor != tensor.spec.name) return false;
    }
  }
  return true;
}

std::vector<LayerSlice> SlicesOf(const ResolvedMethod& resolved) {
  std::vector<LayerSlice> slices;
  for (const ResolvedSlice& slice : resolved.slices) {
    if (!slice.layers.has_value()) return {};
    LayerSlice& layers = slices.emplace_back();
    layers.layers = *slice.layers;
    for (const ResolvedSource& source : slice.sources) {
      layers.sources.push_back({source.model, source.first_layer});
    }
  }
  return slices;
}

AlignOptions OptionsOf(const ResolvedMethod& resolved) {
  AlignOptions options;
  options.reference = resolved.reference;
  options.is_base = resolved.names_base;
  options.same_at_both_ends = [&resolved](const std::string& name) {
    TensorPlace place;
    place.name = name;
    const absl::StatusOr<MethodConfig> first = resolved.ConfigFor(place);
    place.slice = static_cast<uint32_t>(resolved.slices.size() - 1);
    const absl::StatusOr<MethodConfig> last = resolved.ConfigFor(place);
    return first.ok() && last.ok() && *first == *last;
  };
  return options;
}

absl::StatusOr<Plan> MakePlan(const Recipe& recipe, const ResolvedMethod& resolved,
                              const std::vector<const Checkpoint*>& models,
                              const Alignment& alignment, const StoreTraits& output) {
  MERGANSER_RETURN_IF_ERROR(CheckOutputTraits(output));
  Plan plan;
  plan.output = output;
  plan.recipe_text = recipe.text;
  plan.has_base = !resolved.base.empty();
  plan.notes = recipe.notes;
  plan.notes.insert(plan.notes.end(), resolved.notes.begin(), resolved.notes.end());
  plan.warnings = recipe.warnings;
  plan.warnings.insert(plan.warnings.end(), resolved.warnings.begin(), resolved.warnings.end());
  plan.warnings.insert(plan.warnings.end(), alignment.warnings.begin(), alignment.warnings.end());
  for (const Checkpoint* model : models) {
    PlannedModel& planned = plan.models.emplace_back();
    planned = {model->uri, model->given, model->shards};
    for (const CheckpointPlace& place : model->places) planned.places.push_back(place.uri);
  }

  const bool mostly_half = MostlyHalfPrecision(alignment);
  SettledMethods methods(resolved);
  ConditionChecks conditions(resolved);
  const std::vector<TensorSpec> specs = SpecsOf(alignment);
  std::vector<uint64_t> vocabularies = models[resolved.reference]->config.vocabularies;
  if (alignment.token_rows.has_value()) vocabularies.push_back(*alignment.token_rows);
  const ModelStructure structure(specs, vocabularies);
  FoldedLines remarks;
  std::vector<std::optional<uint32_t>> used;
  std::vector<PlannedTensor> behind;  // copied, and of no aligned tensor
  uint64_t parts = 0;
  for (const AlignedTensor& aligned : alignment.tensors) {
    PlannedTensor tensor;
    tensor.spec = specs[plan.tensors.size()];
    tensor.spec.hints = structure.HintsFor(tensor.spec);
    tensor.dtype = OutputDType(recipe, aligned, mostly_half);
    tensor.tied = aligned.tied;
    MERGANSER_RETURN_IF_ERROR(CheckSize(tensor.spec));
    if (recipe.out_source && !aligned.copied) {
      MERGANSER_RETURN_IF_ERROR(SetEncoding(models, resolved.reference, aligned, tensor));
    }
    used.emplace_back();
    if (recipe.out_source && aligned.copied) {
      const TensorSource& source = aligned.sources[0];
      const CheckpointTensor& where = models[source.model]->tensors[source.tensor];
      if (where.parts.has_value() && !where.update.has_value()) {
        // As it is: the values in its place.
        MERGANSER_ASSIGN_OR_RETURN(std::vector<PlannedTensor> parts_of,
                                   CopiedParts(where, aligned.name, source.model));
        behind.push_back(std::move(parts_of[1]));
        tensor = std::move(parts_of[0]);
        tensor.needs = CopyNeeds();
        SetLeaves(tensor);
        plan.tensors.push_back(std::move(tensor));
        continue;
      }
    }
    if (aligned.copied) {
      tensor.needs = CopyNeeds();
    } else {
      MERGANSER_ASSIGN_OR_RETURN(const SettledMethods::Settled settled, methods.For(aligned));
      used.back() = settled.index;
      conditions.See(PlaceOf(aligned, aligned.merged_as));
      for (const std::string& alias : aligned.aliases) {
        conditions.See(PlaceOf(aligned, alias), /*alias=*/true);
      }
      NoteAliasParameters(resolved, aligned, plan);
      absl::StatusOr<TensorNeeds> needs = settled.method->Needs(tensor.spec);
      if (!needs.ok()) {
        return Annotate(needs.status(), absl::StrCat("tensor ", Shown(aligned.name)));
      }
      tensor.needs = *std::move(needs);
    }
    if (!tensor.needs.note.empty()) remarks.Add(aligned.name, tensor.needs.note);
    SetLeaves(tensor);
    tensor.has_base_source = plan.has_base && tensor.needs.reads_base;
    for (size_t k = 0; k < aligned.sources.size(); ++k) {
      if (plan.has_base && k == 0 && !tensor.has_base_source) continue;
      const TensorSource& source = aligned.sources[k];
      const CheckpointTensor& where = models[source.model]->tensors[source.tensor];
      PlannedSource& planned = tensor.sources.emplace_back();
      planned = {source.model, where.shard, where.offset, where.dtype, where.name, {}};
      AddParts(models, source, tensor.elements, planned);
      MERGANSER_RETURN_IF_ERROR(AddOrigin(models, source, tensor, planned));
      parts += planned.parts.size();
      if (parts > kMaxSourceParts) {
        return absl::InvalidArgumentError(absl::StrCat(
            "tensor ", Shown(aligned.name), ": with it more than ", kMaxSourceParts,
            " stretches of rows lie elsewhere than in the output: the vocabularies have too little "
            "in common to be matched row by row; bring the models to one vocabulary first"));
      }
    }
    MERGANSER_RETURN_IF_ERROR(SettleOrigins(plan, tensor));
    plan.tensors.push_back(std::move(tensor));
  }
  if (recipe.out_source) {
    MERGANSER_RETURN_IF_ERROR(CheckSourceForm(models, resolved, plan));
    for (PlannedTensor& tensor : CopiedScales(*models[resolved.reference], resolved.reference)) {
      behind.push_back(std::move(tensor));
    }
  }
  for (PlannedTensor& tensor : behind) {
    tensor.needs = CopyNeeds();
    SetLeaves(tensor);
    plan.tensors.push_back(std::move(tensor));
    used.emplace_back();
  }
  for (std::string& remark : remarks.Texts()) plan.warnings.push_back(std::move(remark));
  for (std::string& warning : conditions.Warnings()) plan.warnings.push_back(std::move(warning));
  NumberMethods(resolved, methods, used, plan);
  for (const std::string& departure : Departures(plan)) {
    plan.notes.push_back(absl::StrCat(plan.method.method, ": ", departure));
  }
  for (std::string& note : RankNotes(plan)) plan.notes.push_back(std::move(note));
  std::map<std::string, int32_t> groups;
  for (uint32_t t = 0; t < alignment.tensors.size(); ++t) {
    MERGANSER_RETURN_IF_ERROR(JoinGroup(t, alignment, groups, plan));
  }
  if (IsConsolidated(*models[resolved.reference])) {
    // Programs that read this layout look for one file of one name.
    if (recipe.max_shard_size != Recipe().max_shard_size) {
      plan.notes.push_back(absl::StrCat(
          recipe.source_name, ": key 'max_shard_size': accepted, but it has no effect here: model ",
          Shown(models[resolved.reference]->given), " is in Mistral's layout, whose output is one ",
          kConsolidatedFile));
    }
    MERGANSER_RETURN_IF_ERROR(
        LayOutShards(std::numeric_limits<uint64_t>::max(), "consolidated", plan));
  } else {
    MERGANSER_RETURN_IF_ERROR(LayOutShards(recipe.max_shard_size, "model", plan));
  }
  MERGANSER_RETURN_IF_ERROR(CutUnits(recipe.unit_size, recipe.split_size, plan));
  std::vector<std::string> asked;
  if (recipe.rename) asked.emplace_back("rename: auto");
  if (recipe.allow_partial) asked.emplace_back("allow_partial: true");
  plan.digest = PlanDigest(plan, asked);
  return plan;
}

}  // namespace merganser
