#include "common/adapters/lora_targets.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/adapters/tensor_bytes.h"
#include "common/base/shown.h"
#include "common/methods/merge_method.h"
#include "common/methods/model_structure.h"
#include "common/methods/name_parts.h"
#include "common/methods/tensor_roles.h"

namespace merganser {
namespace {

constexpr std::string_view kWeight = ".weight";

// A router of experts: transformers has it as a bare parameter, which PEFT cannot wrap.
bool IsRouter(const NameParts& name) { return name.numbered && name.last().Is({"gate", "router"}); }

// An output head is a linear layer; all else of its family is looked up by number.
bool IsHead(const NamePart& part) {
  return part.Is({"embed_out"}) || part.HasWord({"head"}) ||
         part.Is({"output", "output_layer", "score", "classifier", "decoder", "unembed"});
}

struct Judgement {
  std::optional<LoraLayer> layer;
  bool if_named = false;  // a target only where the user names it
  std::string why;        // it is none, or none unless named
};

Judgement Judge(const ModelPair& pair, const AlignedTensor& aligned, const TensorSpec& spec) {
  const NameParts name = TakeApart(aligned.name);
  if (name.bias) return {{}, false, "a bias"};
  const TensorFamily family = RoleFamily(spec);
  if (family == TensorFamily::kNorm) return {{}, false, "a norm"};
  if (aligned.shape.size() == 3) return {{}, false, "fused experts or a convolution"};
  if (aligned.shape.size() != 2 || !aligned.name.ends_with(kWeight)) {
    return {{}, false, "no weight of a linear layer"};
  }
  if (family == TensorFamily::kEmbedding) {
    // Unmerged, PEFT would change one of the two.
    const bool table = spec.hints.vocabulary && pair.base->config.tie_word_embeddings;
    if (aligned.tied || !aligned.aliases.empty() || table) {
      return {{}, false, "an embedding that is the output head too"};
    }
    const bool head = IsHead(name.last());
    return {head ? LoraLayer::kLinear : LoraLayer::kEmbedding, true,
            head ? "an output head: --modules takes it" : "an embedding: --modules takes it"};
  }
  if (aligned.tied || !aligned.aliases.empty() || !aligned.merged_as.empty()) {
    return {{}, false, "one parameter of several names"};
  }
  if (IsRouter(name)) return {LoraLayer::kLinear, true, "a router: --modules takes it"};
  return {spec.hints.transposed ? LoraLayer::kConv1D : LoraLayer::kLinear, false, ""};
}

std::string ModuleOf(const std::string& tensor) {
  const size_t dot = tensor.rfind('.');
  return dot == std::string::npos ? std::string() : tensor.substr(0, dot);
}

// The entries that match the module are taken note of.
bool Named(const std::string& module, const std::vector<std::string>& entries,
           std::vector<bool>& used) {
  bool named = false;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (!MatchesModule(module, entries[i])) continue;
    used[i] = named = true;
  }
  return named;
}

absl::Status CheckUsed(std::string_view flag, const std::vector<std::string>& entries,
                       const std::vector<bool>& used, std::string_view what) {
  for (size_t i = 0; i < entries.size(); ++i) {
    if (used[i]) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        std::string(flag), ": found '", Shown(entries[i]), "', expected ", std::string(what),
        ", by its whole name or the end of it (q_proj, mlp.up_proj)"));
  }
  return absl::OkStatus();
}

}  // namespace

bool MatchesModule(std::string_view module, std::string_view entry) {
  if (!module.ends_with(entry)) return false;
  return module.size() == entry.size() || module[module.size() - entry.size() - 1] == '.';
}

absl::StatusOr<LoraTargets> FindLoraTargets(const ModelPair& pair, const LoraModules& modules) {
  std::vector<TensorSpec> specs;
  specs.reserve(pair.alignment.tensors.size());
  for (const AlignedTensor& aligned : pair.alignment.tensors) {
    specs.push_back({aligned.name, aligned.shape});
  }
  const ModelStructure structure(specs, pair.base->config.vocabularies);
  std::vector<bool> only(modules.only.size()), exclude(modules.exclude.size());
  LoraTargets out;
  for (size_t t = 0; t < specs.size(); ++t) {
    const AlignedTensor& aligned = pair.alignment.tensors[t];
    const CheckpointTensor* const after = pair.After(aligned);
    if (aligned.copied || after == nullptr) continue;
    for (const auto& [model, tensor] :
         {std::pair(pair.base.get(), &pair.Before(aligned)), std::pair(pair.model.get(), after)}) {
      if (IsStored(*tensor)) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(DescribeTensor(*model, *tensor),
                       ": found scales or an adapter, expected plain weights on both sides: write "
                       "the full model first (merganser bake, or a recipe of passthrough)"));
    }
    TensorSpec& spec = specs[t];
    spec.hints = structure.HintsFor(spec);
    Judgement judged = Judge(pair, aligned, spec);
    const std::string module = ModuleOf(aligned.name);
    const bool out_of_it = Named(module, modules.exclude, exclude);
    // Judged first: a name that can be no target does not count as used.
    const bool wanted =
        judged.layer.has_value() &&
        (modules.only.empty() ? !judged.if_named : Named(module, modules.only, only));
    if (wanted && !out_of_it) {
      out.targets.push_back({t, module, *judged.layer});
      continue;
    }
    if (judged.layer.has_value() && (out_of_it || judged.why.empty())) {
      judged.why = out_of_it ? "excluded" : "not among --modules";
    }
    out.beside.push_back({t, std::move(judged.why)});
  }
  if (absl::Status status =
          CheckUsed("--modules", modules.only, only, "a layer of the base that LoRA can change");
      !status.ok()) {
    return status;
  }
  if (absl::Status status =
          CheckUsed("--exclude", modules.exclude, exclude, "a module of the base");
      !status.ok()) {
    return status;
  }
  return out;
}

}  // namespace merganser
