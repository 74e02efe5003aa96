#include "common/adapters/merged_modules.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/adapters/merged_remarks.h"
#include "common/adapters/planned_adapters.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/checkpoint/adapter_names.h"
#include "common/methods/linear.h"
#include "common/plan/origin_bytes.h"

namespace merganser {
namespace {

constexpr std::string_view kInstead =
    "; merge the full models instead (merganser merge with the same recipe)";

std::string_view ModuleOf(std::string_view tensor) {
  const size_t dot = tensor.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : tensor.substr(0, dot);
}

std::string_view LastOf(std::string_view name) { return name.substr(name.rfind('.') + 1); }

// Sums are float32, but of values that have more digits.
DType DeltaType(const PlannedSource& source) {
  const bool wide = source.update.has_value() && ReadsValues(source) &&
                    source.added_to.value_or(DType::kF32) == DType::kF64;
  return wide ? DType::kF64 : DType::kF32;
}

// The tensor with its models' task vectors, whatever its method takes of full models.
PlannedTensor DeltasOf(const PlannedTensor& tensor) {
  PlannedTensor deltas = tensor;
  if (deltas.has_base_source) deltas.sources.erase(deltas.sources.begin());
  deltas.has_base_source = false;
  deltas.dtype = DType::kF32;
  deltas.encoding.reset();
  for (PlannedSource& source : deltas.sources) {
    source.delta = true;
    if (!ReadsValues(source)) {
      source.scales.reset();
      source.coded.reset();
    }
    source.dtype = DeltaType(source);
  }
  return deltas;
}

absl::Status Refuse(const Recipe& recipe, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(recipe.source_name, ": ", what));
}

std::string Model(const Plan& plan, uint32_t m) {
  return absl::StrCat("model ", Shown(plan.models[m].given));
}

absl::Status CheckModels(const Recipe& recipe, const Plan& plan) {
  if (!recipe.slices.empty()) {
    return Refuse(recipe,
                  absl::StrCat("key 'slices': found some, expected whole models: an adapter has "
                               "the layers of its base",
                               std::string(kInstead)));
  }
  const PlannedModel& first = plan.models[0];
  if (plan.has_base && !first.adapters.empty()) {
    return Refuse(
        recipe,
        absl::StrCat("key 'base_model': found ", Shown(first.given),
                     ", which has an adapter itself, expected the model below all adapters: "
                     "write it out first (merganser bake), and put the others on that"));
  }
  bool adapters = false;
  for (uint32_t m = 0; m < plan.models.size(); ++m) {
    const PlannedModel& model = plan.models[m];
    adapters = adapters || !model.adapters.empty();
    if (model.uri == first.uri) continue;
    if (model.adapters.empty()) {
      return Refuse(recipe,
                    absl::StrCat(Model(plan, m), ": found a full model, expected an adapter on ",
                                 Shown(first.uri),
                                 " (BASE+ADAPTER): make one of it first (merganser extract-lora)"));
    }
    return Refuse(recipe, absl::StrCat(Model(plan, m), ": found an adapter on ", Shown(model.uri),
                                       ", and ", Shown(first.given), " is ",
                                       first.adapters.empty() ? "" : "an adapter on ",
                                       Shown(first.uri), "; expected adapters on one base"));
  }
  if (!adapters) {
    return Refuse(recipe, absl::StrCat("found no adapter among the models, expected BASE+ADAPTER: ",
                                       "full models are merged by merganser merge"));
  }
  return absl::OkStatus();
}

class Finder {
 public:
  Finder(const PreparedMerge& prepared, const PlannedAdapters& adapters)
      : prepared_(prepared), recipe_(prepared.recipe), plan_(prepared.plan), adapters_(adapters) {}

  absl::StatusOr<MergedModules> Find() {
    for (uint32_t t = 0; t < plan_.tensors.size(); ++t) MERGANSER_RETURN_IF_ERROR(Judge(t));
    MERGANSER_RETURN_IF_ERROR(CompleteModules());
    ListOthers();
    MERGANSER_RETURN_IF_ERROR(AddMergedRemarks(prepared_, adapters_.BaseNames(), found_));
    return std::move(found_);
  }

 private:
  absl::Status Refuse(const std::string& what) const { return merganser::Refuse(recipe_, what); }
  std::string Model(uint32_t m) const { return merganser::Model(plan_, m); }

  uint32_t PlaceOf(const PlannedSource& source) const {
    return plan_.models[source.model].shards[source.shard].place;
  }

  absl::Status Judge(uint32_t t) {
    const PlannedTensor& tensor = plan_.tensors[t];
    if (tensor.needs.mode == "copy" || tensor.elements == 0) return absl::OkStatus();
    bool product = false;
    const PlannedSource* whole = nullptr;
    for (size_t s = tensor.has_base_source; s < tensor.sources.size(); ++s) {
      const PlannedSource& source = tensor.sources[s];
      if (!source.parts.empty()) {
        return Refuse(absl::StrCat("tensor ", Shown(tensor.spec.name),
                                   ": its rows follow another tokenizer than the base's, expected "
                                   "that of the base: an adapter has the rows of its base",
                                   std::string(kInstead)));
      }
      product = product || source.update.has_value();
      if (whole == nullptr && PlaceOf(source) != 0) whole = &source;
    }
    if (whole == nullptr && !product) return absl::OkStatus();
    if (tensor.group >= 0 && plan_.groups[static_cast<size_t>(tensor.group)].tensors.size() > 1) {
      return Refuse(absl::StrCat(
          "tensor ", Shown(tensor.spec.name), ": ", plan_.method.method,
          " decides over several tensors at once (key 'parameters.scope'), expected the scope "
          "tensor: adapters are merged tensor by tensor",
          std::string(kInstead)));
    }
    return whole != nullptr ? AddWhole(t, *whole) : AddProduct(t);
  }

  absl::Status AddWhole(uint32_t t, const PlannedSource& source) {
    MERGANSER_ASSIGN_OR_RETURN(AdapterTensorName named,
                               adapters_.NameAt(source.model, source.shard, source.offset));
    const std::string module(ModuleOf(named.name));
    if (module.empty()) {
      return Refuse(absl::StrCat(Model(source.model), ": brings ", Shown(named.name),
                                 " whole, which is a parameter of no module, expected one that "
                                 "modules_to_save can name",
                                 std::string(kInstead)));
    }
    found_.whole.push_back({t, std::move(named.name), module});
    return absl::OkStatus();
  }

  absl::Status CheckMethod(const PlannedTensor& tensor) const {
    const std::string& method = MethodOf(plan_, tensor).method;
    if (tensor.needs.takes_deltas || method == "linear" || tensor.needs.mode == "mean") {
      return absl::OkStatus();
    }
    return Refuse(absl::StrCat(
        "key 'merge_method': found ", method,
        ", whose result is no base plus something made of the models' differences alone, expected "
        "linear or a method of task vectors, such as task_arithmetic, ties or dare_linear",
        std::string(kInstead)));
  }

  absl::Status AddProduct(uint32_t t) {
    const PlannedTensor& tensor = plan_.tensors[t];
    MERGANSER_RETURN_IF_ERROR(CheckMethod(tensor));
    MergedProduct product;
    product.tensor = t;
    product.deltas = DeltasOf(tensor);
    bool combined = true, first = true;
    const PlannedSource& anchor = tensor.sources.front();
    for (const PlannedSource& source : tensor.sources) {
      const std::vector<CheckpointShard>& shards = plan_.models[source.model].shards;
      if (source.offset != anchor.offset ||
          shards[source.shard].key != plan_.models[anchor.model].shards[anchor.shard].key) {
        return Refuse(absl::StrCat("tensor ", Shown(tensor.spec.name), ": in ", Model(source.model),
                                   " it is ", Shown(source.tensor),
                                   ", another one of the base than in ", Model(anchor.model),
                                   ", expected one tensor in all models", std::string(kInstead)));
      }
      if (!source.update.has_value()) continue;
      // Neither is a plain sum of products.
      if (source.update->magnitudes.has_value() || source.update->rounded_to.has_value()) {
        combined = false;
      }
      for (const LowRankTerm& term : source.update->terms) {
        product.ranks += term.rank;
        MERGANSER_RETURN_IF_ERROR(SeeTerm(tensor, source, term, first, product));
        first = false;
      }
    }
    product.ranks = std::min({product.ranks, tensor.spec.shape[0], tensor.spec.shape[1]});
    if (combined) {
      MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::vector<double>> coefficients,
                                 CoefficientsOf(MethodOf(plan_, tensor)));
      if (coefficients.has_value()) product.coefficients = *coefficients;
    }
    if (!product.coefficients.empty() &&
        product.coefficients.size() != product.deltas.sources.size()) {
      return absl::InternalError(absl::StrCat(
          "tensor ", Shown(tensor.spec.name), ": ", product.coefficients.size(),
          " coefficients for ", product.deltas.sources.size(), " models; please report this"));
    }
    found_.products.push_back(std::move(product));
    return absl::OkStatus();
  }

  // Module and layer of a term; those of all terms of a tensor are one.
  absl::Status SeeTerm(const PlannedTensor& tensor, const PlannedSource& source,
                       const LowRankTerm& term, bool first, MergedProduct& product) const {
    const StoredBlock& block = term.row_factor.block;
    MERGANSER_ASSIGN_OR_RETURN(const AdapterTensorName named,
                               adapters_.NameAt(source.model, block.shard, block.offset));
    const std::string what =
        absl::StrCat(Model(source.model), ", module ", Shown(named.name), ": ");
    if (!term.column_factor.has_value()) {
      return Refuse(absl::StrCat(what, "found a bias of lora_B (lora_bias), expected none",
                                 std::string(kInstead)));
    }
    if (tensor.spec.shape.size() != 2 || term.matrices != 1) {
      return Refuse(absl::StrCat(
          what, "found experts in one parameter, or a convolution (", Shown(tensor.spec.name),
          "), expected layers whose weight is a matrix", std::string(kInstead)));
    }
    const std::string weight = absl::StrCat(std::string(LastOf(named.name)), ".weight");
    const std::string& name = tensor.spec.name;
    if (named.within || !name.ends_with(weight) ||
        (name.size() > weight.size() && name[name.size() - weight.size() - 1] != '.')) {
      return Refuse(absl::StrCat(what, "found a product that is added to ", Shown(name),
                                 ", expected one of a module's own weight", std::string(kInstead)));
    }
    const LoraLayer layer = named.embedding ? LoraLayer::kEmbedding
                            : named.is_a    ? LoraLayer::kConv1D
                                            : LoraLayer::kLinear;
    if (first) {
      product.module = named.name;
      product.layer = layer;
    } else if (product.layer != layer) {
      return Refuse(absl::StrCat(what, "found factors that are laid out otherwise than those of ",
                                 "another adapter for ", Shown(name), ", expected one layout",
                                 std::string(kInstead)));
    }
    return absl::OkStatus();
  }

  // All parameters that stand directly in a module that is saved are saved with it.
  absl::Status CompleteModules() {
    std::map<std::string_view, const MergedProduct*> products;
    std::map<std::string_view, std::string> saved;  // of the base's, as the adapters call it
    std::set<uint32_t> there;
    for (const MergedProduct& product : found_.products) {
      products.emplace(ModuleOf(plan_.tensors[product.tensor].spec.name), &product);
    }
    for (const MergedWhole& whole : found_.whole) {
      there.insert(whole.tensor);
      const std::string_view module = ModuleOf(plan_.tensors[whole.tensor].spec.name);
      saved.emplace(module, whole.module);
      const auto beside = products.find(module);
      if (beside == products.end()) continue;
      return Refuse(absl::StrCat(
          "tensor ", Shown(whole.name), " is trained whole beside the product of ",
          Shown(beside->second->module),
          " (bias: all or lora_only, or another adapter saves the module), expected one of the "
          "two: such a module is not written by this version",
          std::string(kInstead)));
    }
    for (uint32_t t = 0; t < plan_.tensors.size(); ++t) {
      // What no method sees is the base's, which PEFT's copy of the module has.
      if (plan_.tensors[t].needs.mode == "copy" || plan_.tensors[t].elements == 0) continue;
      const std::string& name = plan_.tensors[t].spec.name;
      const auto module = saved.find(ModuleOf(name));
      if (module == saved.end() || there.contains(t)) continue;
      found_.whole.push_back(
          {t, absl::StrCat(module->second, ".", std::string(LastOf(name))), module->second});
    }
    std::sort(found_.whole.begin(), found_.whole.end(),
              [](const MergedWhole& a, const MergedWhole& b) { return a.tensor < b.tensor; });
    return absl::OkStatus();
  }

  void ListOthers() {
    std::set<std::string_view> targets;
    for (const MergedProduct& product : found_.products) {
      targets.insert(ModuleOf(plan_.tensors[product.tensor].spec.name));
    }
    for (const PlannedTensor& tensor : plan_.tensors) {
      const std::string_view module = ModuleOf(tensor.spec.name);
      if (!module.empty() && targets.insert(module).second) found_.others.emplace_back(module);
    }
  }

  const PreparedMerge& prepared_;
  const Recipe& recipe_;
  const Plan& plan_;
  const PlannedAdapters& adapters_;
  MergedModules found_;
};

}  // namespace

absl::StatusOr<MergedModules> FindMergedModules(const PreparedMerge& prepared,
                                                const Stores& stores) {
  MERGANSER_RETURN_IF_ERROR(CheckModels(prepared.recipe, prepared.plan));
  MERGANSER_ASSIGN_OR_RETURN(const PlannedAdapters adapters,
                             PlannedAdapters::Open(prepared.plan, stores));
  return Finder(prepared, adapters).Find();
}

}  // namespace merganser
