// In this order: what the file has; which tensors of the base that is; tensors that are brought
// whole; products of low rank, module by module; what was expected; what is told.
#include "common/checkpoint/adapted_model.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/checkpoint/adapter_base.h"
#include "common/checkpoint/adapter_expected.h"
#include "common/checkpoint/adapter_experts.h"
#include "common/checkpoint/adapter_factors.h"
#include "common/checkpoint/adapter_hints.h"
#include "common/checkpoint/adapter_layout.h"
#include "common/checkpoint/adapter_modules.h"
#include "common/checkpoint/adapter_parameters.h"
#include "common/checkpoint/adapter_targets.h"
#include "common/checkpoint/refusals.h"
#include "common/checkpoint/ties.h"
#include "common/format/text.h"

namespace merganser {
namespace {

// What earlier adapters of the model did.
struct Done {
  std::set<std::string, std::less<>> whole;  // tensors that one of them brought
};

class Applier {
 public:
  Applier(const Checkpoint& base, const Adapter& adapter, Done& done, Checkpoint& model)
      : base_(base),
        adapter_(adapter),
        config_(adapter.config),
        done_(done),
        model_(model),
        faults_(adapter),
        tie_(ImpliedTie(base)) {
    origin_.uri = adapter.uri;
    origin_.given = adapter.given;
    origin_.weight = adapter.weight;
  }

  absl::Status Apply() {
    MERGANSER_ASSIGN_OR_RETURN(contents_, ContentsOf(adapter_));
    AddPlace();
    FindTargets();
    if (!targets_->ambiguity().empty()) {
      faults_.Add(absl::StrCat("its names fit two parts of the base alike: ",
                               targets_->ambiguity(),
                               "; expected one; give the adapter the names that the base has"));
      return faults_.ToStatus();
    }
    const std::vector<std::string> parameters =
        AssignParameters(config_, contents_, *targets_, faults_);
    MERGANSER_RETURN_IF_ERROR(faults_.ToStatus());
    layouts_.emplace(base_.config.model_type, config_, contents_, parameters, *targets_);
    for (const WholeTensor& whole : contents_.whole) TakeWhole(whole);
    for (size_t m = 0; m < contents_.modules.size(); ++m) {
      AddModule(contents_.modules[m], parameters[m]);
    }
    const ExpectedModules expected =
        CompareExpected(base_, adapter_, contents_, *targets_, faults_);
    MERGANSER_RETURN_IF_ERROR(faults_.ToStatus());
    Tell(expected);
    return absl::OkStatus();
  }

 private:
  void AddPlace() {
    model_.places.push_back({adapter_.uri, adapter_.given, adapter_.store});
    shard_ = static_cast<uint32_t>(model_.shards.size());
    CheckpointShard& shard = model_.shards.emplace_back(adapter_.shard);
    shard.place = static_cast<uint32_t>(model_.places.size());
  }

  void FindTargets() {
    struct Member {
      const AdapterModule* module = nullptr;
      const CheckpointTensor* whole = nullptr;
    };
    std::vector<std::string> names;
    std::vector<Member> of;
    for (const AdapterModule& module : contents_.modules) {
      const std::vector<std::string> parameters = ParametersOf(config_, module.name);
      for (const std::string& parameter : parameters) {
        names.push_back(absl::StrCat(module.name, ".", parameter));
        of.push_back({});
      }
      if (!parameters.empty()) continue;
      names.push_back(absl::StrCat(module.name, ".weight"));
      of.push_back({&module, nullptr});
    }
    for (const WholeTensor& whole : contents_.whole) {
      names.push_back(whole.name);
      of.push_back({nullptr, whole.tensor});
    }
    targets_.emplace(base_, names, [&](size_t i, const CheckpointTensor& tensor) {
      const auto& [module, whole] = of[i];
      if (whole != nullptr) return tensor.shape == whole->shape;
      return module == nullptr || LayoutsThatFit(tensor.shape, module->a->shape, module->b->shape,
                                                 module->embedding)
                                      .first.has_value();
    });
  }

  CheckpointTensor& OfModel(const CheckpointTensor& of_base) {
    return model_.tensors[static_cast<size_t>(&of_base - base_.tensors.data())];
  }

  StoredBlock Block(const CheckpointTensor& tensor) const {
    StoredBlock block = BlockOf(tensor);
    block.shard = shard_;
    return block;
  }

  void TakeWhole(const WholeTensor& whole) {
    const CheckpointTensor& stored = *whole.tensor;
    if (adapter_.weight != 1) {
      faults_.Add(absl::StrCat("tensor ", Quoted(stored.name),
                               " is brought whole (modules_to_save, a bias or an embedding), and "
                               "the recipe gives the adapter weight ",
                               adapter_.weight, "; expected 1, as it is no delta"));
      return;
    }
    const CheckpointTensor* found = targets_->Find(whole.name);
    const std::string name = found != nullptr ? found->name : targets_->Renamed(whole.name);
    const bool head = found == nullptr && tie_.has_value() && name == tie_->copy;
    if (found == nullptr && !head) return NoTensor(stored, whole.name);
    const Shape& shape = head ? base_.Find(tie_->kept)->shape : found->shape;
    if (stored.shape != shape) {
      const bool rows = stored.shape.size() == 2 && shape.size() == 2 &&
                        stored.shape[1] == shape[1] && (IsInputEmbedding(name) || IsOutputHead(name));
      faults_.Add(absl::StrCat(
          "tensor ", Quoted(stored.name), ": found shape ", ShapeText(stored.shape), ", expected ",
          ShapeText(shape), " as ", Quoted(name), " of the base",
          rows ? " (its tokenizer has other tokens than the base's: merge the adapter into its base "
                 "with PEFT's merge_and_unload(), and name the result)"
               : ""));
      return;
    }
    if (!done_.whole.insert(name).second || (!head && OfModel(*found).update.has_value())) {
      faults_.Add(absl::StrCat("tensor ", Quoted(stored.name), " brings ", Quoted(name),
                               " whole, and another adapter of this model changes it too; expected "
                               "one of them alone"));
      return;
    }
    mine_.insert(name);
    ++origin_.whole;
    if (head) {
      CheckpointTensor tensor = stored;
      tensor.name = name;
      tensor.shard = shard_;
      model_.by_name.emplace(name, static_cast<uint32_t>(model_.tensors.size()));
      model_.tensors.push_back(std::move(tensor));
      model_.warnings.push_back(absl::StrCat(
          Name(), ": brings a head of its own (", Quoted(name), "), which the base does not store, "
          "as its head is ", Quoted(tie_->kept)));
      return;
    }
    CheckpointTensor& tensor = OfModel(*found);
    tensor.dtype = stored.dtype;
    tensor.shard = shard_;
    tensor.offset = stored.offset;
    tensor.size = stored.size;
    tensor.stored = stored.name;
    tensor.scales.reset();
    tensor.coded.reset();
  }

  void NoTensor(const CheckpointTensor& stored, std::string_view name) {
    faults_.Add(absl::StrCat("tensor ", Quoted(stored.name), " matches no tensor of the base ",
                             Quoted(base_.given), " (looked for ", Quoted(name), ")",
                             WhyNoTensor(base_, name)));
  }

  // The tensor that `module` changes; null, with a fault, where there is none.
  const CheckpointTensor* TargetOf(const AdapterModule& module, const std::string& parameter) {
    const std::string name =
        absl::StrCat(module.name, ".", parameter.empty() ? "weight" : parameter);
    if (const CheckpointTensor* found = targets_->Find(name)) return found;
    if (parameter.empty() && !module.embedding) {
      const std::string projected = absl::StrCat(module.name, ".in_proj_weight");
      if (const CheckpointTensor* found = targets_->Find(projected)) return found;
      if (tie_.has_value() && targets_->Renamed(name) == tie_->copy) {
        model_.warnings.push_back(absl::StrCat(
            Name(), ": changes the head ", Quoted(tie_->copy), ", which in the base is ",
            Quoted(tie_->kept), ": the delta is added to that tensor, and so to both, as PEFT's "
            "merge_and_unload() does; used unmerged it changes the head alone"));
        return base_.Find(tie_->kept);
      }
    }
    return nullptr;
  }

  void AddModule(const AdapterModule& module, const std::string& parameter) {
    if (module.magnitude != nullptr && !config_.dora) {
      faults_.Add(absl::StrCat("tensor ", Quoted(module.magnitude->name),
                               " is DoRA's, and adapter_config.json does not say use_dora: true; "
                               "expected both or neither"));
      return;
    }
    if (const CheckpointTensor* target = TargetOf(module, parameter)) {
      AddTo(module, parameter, *target);
      return;
    }
    if (const auto split = FindSplitExperts(*targets_, module.name, parameter)) {
      AddToExperts(module, parameter, *split);
      return;
    }
    NoTensor(*module.a, absl::StrCat(module.name, ".", parameter.empty() ? "weight" : parameter));
  }

  // The name that rank_pattern and alpha_pattern are held against.
  static std::string KeyOf(const AdapterModule& module, const std::string& parameter) {
    return parameter.empty() ? module.name : absl::StrCat(module.name, ".", parameter);
  }

  // The term of the module in a tensor of `shape`; nullopt, with a fault, where it does not fit.
  // `layout` is settled, unless it is given.
  std::optional<LowRankTerm> TermFor(const AdapterModule& module, const std::string& parameter,
                                     const Shape& shape, std::string_view target,
                                     std::optional<FactorLayout>& layout) {
    const Shape& a = module.a->shape;
    const Shape& b = module.b->shape;
    const std::string found =
        absl::StrCat("tensors ", Quoted(module.a->name), " of ", ShapeText(a), " and ",
                     Quoted(module.b->name), " of ", ShapeText(b));
    const FactorLayouts fit = LayoutsThatFit(shape, a, b, module.embedding);
    if (!fit.first.has_value()) {
      faults_.Add(absl::StrCat("found ", found, ", expected the factors of ", Quoted(target), " of ",
                               ShapeText(shape), ": is this the base that the adapter was trained "
                               "on?"));
      return std::nullopt;
    }
    if (!layout.has_value()) layout = layouts_->Choose(module, fit);
    if (!layout.has_value()) {
      faults_.Add(absl::StrCat(
          "found ", found, ", and ", Quoted(target), " of ", ShapeText(shape),
          ", whose matrices are square: neither shapes nor the model's class tell whether they are "
          "transposed; merge the adapter into its base with PEFT's merge_and_unload(), and name "
          "the result"));
      return std::nullopt;
    }
    const std::string key = KeyOf(module, parameter);
    const uint64_t rank = StoredRank(shape, a, b);
    if (const uint64_t said = config_.RankOf(key); said != rank) {
      faults_.Add(absl::StrCat("found ", found, ", which are of rank ", rank,
                               ", expected rank ", said, " of module ", Quoted(key),
                               " as adapter_config.json says (r, rank_pattern)"));
      return std::nullopt;
    }
    LowRankTerm term = TermOf(*layout, shape, *module.a, *module.b, rank);
    term.row_factor.block.shard = term.column_factor->block.shard = shard_;
    const double scale = config_.ScaleOf(key);
    term.scale = adapter_.weight * scale;
    origin_.least_rank = origin_.modules == 0 ? rank : std::min(origin_.least_rank, rank);
    origin_.most_rank = std::max(origin_.most_rank, rank);
    origin_.least_scale = origin_.modules == 0 ? scale : std::min(origin_.least_scale, scale);
    origin_.most_scale = origin_.modules == 0 ? scale : std::max(origin_.most_scale, scale);
    ++origin_.modules;
    return term;
  }

  void AddTo(const AdapterModule& module, const std::string& parameter,
             const CheckpointTensor& target) {
    std::optional<FactorLayout> layout;
    std::optional<LowRankTerm> term =
        TermFor(module, parameter, target.shape, target.name, layout);
    if (!term.has_value()) return;
    CheckpointTensor* tensor = Changeable(module, target);
    if (tensor == nullptr) return;
    if (config_.dora) {
      AddLengths(module, *layout, *tensor);
    } else if (tensor->update.has_value() && tensor->update->magnitudes.has_value()) {
      TwoDoras(module, *tensor);
      return;
    }
    if (!tensor->update.has_value()) tensor->update.emplace();
    tensor->update->terms.push_back(*std::move(term));
    if (module.bias != nullptr) AddBias(module);
    if (tie_.has_value() && target.name == tie_->kept && module.embedding) {
      model_.warnings.push_back(absl::StrCat(
          Name(), ": changes the embedding ", Quoted(tie_->kept), ", which in the base is the head ",
          Quoted(tie_->copy), " too: the delta is added to both, as PEFT's merge_and_unload() does; "
          "used unmerged it changes the embedding alone"));
    }
  }

  void AddToExperts(const AdapterModule& module, const std::string& parameter,
                    const SplitExperts& split) {
    std::optional<FactorLayout> layout = FactorLayout::kExpertsOutIn;
    const FactorLayouts fit =
        LayoutsThatFit(split.shape, module.a->shape, module.b->shape, /*embedding=*/false);
    if (fit.first != FactorLayout::kExpertsOutIn || config_.dora) {
      faults_.Add(absl::StrCat("tensor ", Quoted(module.a->name), " is of packed experts, which the "
                               "base ", Quoted(base_.given), " stores one by one (",
                               Quoted(split.pieces[0].tensor->name), "), and does not fit them as "
                               "transformers packs them: ", ShapeText(split.shape),
                               "; merge the adapter into its base with PEFT's merge_and_unload(), "
                               "and name the result"));
      return;
    }
    // Their layout is known, whatever square matrices leave open.
    const std::optional<LowRankTerm> term =
        TermFor(module, parameter, split.shape, absl::StrCat(module.name, ".", parameter), layout);
    if (!term.has_value()) return;
    for (const ExpertPiece& piece : split.pieces) {
      CheckpointTensor* tensor = Changeable(module, *piece.tensor);
      if (tensor == nullptr) return;
      if (!tensor->update.has_value()) tensor->update.emplace();
      if (tensor->update->magnitudes.has_value()) return TwoDoras(module, *tensor);
      tensor->update->terms.push_back(TermOfPiece(*term, piece));
    }
  }

  // Null, with a fault, where another adapter brought the tensor whole, or it holds no floats.
  CheckpointTensor* Changeable(const AdapterModule& module, const CheckpointTensor& target) {
    CheckpointTensor& tensor = OfModel(target);
    if (done_.whole.contains(target.name) && !mine_.contains(target.name)) {
      faults_.Add(absl::StrCat("tensor ", Quoted(module.a->name), " changes ", Quoted(target.name),
                               ", which another adapter of this model brings whole; expected one "
                               "of them alone"));
      return nullptr;
    }
    if (!IsComputable(tensor.dtype)) {
      faults_.Add(absl::StrCat("tensor ", Quoted(module.a->name), " changes ", Quoted(target.name),
                               ": found dtype ", std::string(DTypeName(tensor.dtype)),
                               " in the base, expected F64, F32, F16 or BF16"));
      return nullptr;
    }
    return &tensor;
  }

  void TwoDoras(const AdapterModule& module, const CheckpointTensor& tensor) {
    faults_.Add(absl::StrCat("module ", Quoted(module.name), ": ", Quoted(tensor.name),
                             " of this model is changed by another adapter too, and one of them is "
                             "DoRA, which cannot be added; expected them in models of their own"));
  }

  void AddLengths(const AdapterModule& module, FactorLayout layout, CheckpointTensor& tensor) {
    if (module.magnitude == nullptr) {
      faults_.Add(absl::StrCat("module ", Quoted(module.name), ": found no lora_magnitude_vector "
                               "beside ", Quoted(module.a->name),
                               ", expected one as adapter_config.json says use_dora: true"));
      return;
    }
    if (adapter_.weight != 1) {
      faults_.Add(absl::StrCat("found DoRA, and weight ", adapter_.weight,
                               " in the recipe; expected 1, as DoRA is no delta that could be "
                               "multiplied"));
      return;
    }
    if (tensor.update.has_value()) return TwoDoras(module, tensor);
    Magnitudes magnitudes;
    magnitudes.magnitude = Block(*module.magnitude);
    magnitudes.of_columns = LengthsAreOfColumns(layout);
    const uint64_t lengths = LengthsOf(layout, tensor.shape);
    if (magnitudes.magnitude.elements != lengths ||
        layout == FactorLayout::kExpertsOutIn || layout == FactorLayout::kExpertsInOut) {
      faults_.Add(absl::StrCat("tensor ", Quoted(module.magnitude->name), ": found shape ",
                               ShapeText(module.magnitude->shape), ", expected ", lengths,
                               " lengths for ", Quoted(tensor.name), " of ",
                               ShapeText(tensor.shape)));
      return;
    }
    origin_.dora = true;
    tensor.update.emplace().magnitudes = magnitudes;
  }

  void AddBias(const AdapterModule& module) {
    const CheckpointTensor& bias = *module.bias;
    if (!config_.lora_bias) {
      faults_.Add(absl::StrCat("tensor ", Quoted(bias.name),
                               " is a bias of lora_B, and adapter_config.json does not say "
                               "lora_bias: true; expected both or neither"));
      return;
    }
    const std::string name = absl::StrCat(module.name, ".bias");
    const CheckpointTensor* target = targets_->Find(name);
    if (target == nullptr || target->shape != bias.shape) {
      faults_.Add(absl::StrCat("tensor ", Quoted(bias.name), " of ", ShapeText(bias.shape),
                               " is added to a bias, and the base has ",
                               target == nullptr
                                   ? absl::StrCat("no ", Quoted(name))
                                   : absl::StrCat(Quoted(name), " of ", ShapeText(target->shape)),
                               ": PEFT cannot merge it either"));
      return;
    }
    CheckpointTensor* tensor = Changeable(module, *target);
    if (tensor == nullptr) return;
    LowRankTerm term;
    term.row_factor.block = Block(bias);
    term.row_factor.stride = 1;
    term.row_factor.rank_stride = 1;
    term.rank = 1;
    term.scale = adapter_.weight * config_.ScaleOf(module.name);
    if (!tensor->update.has_value()) tensor->update.emplace();
    tensor->update->terms.push_back(std::move(term));
  }

  std::string Name() const { return absl::StrCat("adapter ", Quoted(adapter_.given)); }

  void Tell(const ExpectedModules& expected) {
    origin_.expected = expected.count;
    model_.notes.push_back(
        absl::StrCat(Name(), " on ", Quoted(base_.given), ": ", DescribeAdapter(origin_)));
    if (!expected.missing.empty()) {
      model_.warnings.push_back(absl::StrCat(
          Name(), ": found nothing of ", expected.missing.size(),
          " modules that adapter_config.json chooses and the base has, ",
          FirstFew(expected.missing), ": they stay as they are in the base; was the adapter saved "
          "whole?"));
    }
    if (!expected.only_experts.empty()) {
      model_.warnings.push_back(absl::StrCat(
          Name(), ": adapter_config.json chooses ", FirstFew(expected.only_experts),
          ", which the base has within experts alone, and the file has nothing of them: they stay as "
          "they are, as in PEFT where it packs experts"));
    }
    if (!config_.base_model.empty() &&
        NamesAnotherBase(config_.base_model, base_.uri, base_.given)) {
      model_.warnings.push_back(absl::StrCat(
          Name(), ": was trained on ", Quoted(config_.base_model),
          " as its base_model_name_or_path says, and is put on ", Quoted(base_.given),
          ": all its tensors fit, and what it learned may not; see whether the two are one model"));
    }
    model_.adapters.push_back(std::move(origin_));
  }

  const Checkpoint& base_;
  const Adapter& adapter_;
  const AdapterConfig& config_;
  Done& done_;
  Checkpoint& model_;
  AdapterFaults faults_;
  const std::optional<Tie> tie_;
  AdapterContents contents_;
  std::optional<AdapterTargets> targets_;
  std::optional<AdapterLayouts> layouts_;
  std::set<std::string, std::less<>> mine_;  // tensors that this adapter brings whole
  uint32_t shard_ = 0;                       // the adapter's file
  AdapterOrigin origin_;
};

}  // namespace

absl::StatusOr<Checkpoint> AdaptedModel(const Checkpoint& base,
                                        const std::vector<Adapter>& adapters,
                                        std::string_view given) {
  Checkpoint model = base;
  model.given = std::string(given);
  Done done;
  for (const Adapter& adapter : adapters) {
    MERGANSER_RETURN_IF_ERROR(Applier(base, adapter, done, model).Apply());
  }
  return model;
}

}  // namespace merganser
