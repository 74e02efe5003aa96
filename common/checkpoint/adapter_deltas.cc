#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/checkpoint/adapter_application.h"
#include "common/checkpoint/adapter_experts.h"
#include "common/checkpoint/adapter_factors.h"
#include "common/checkpoint/adapter_layout.h"
#include "common/checkpoint/adapter_parameters.h"

namespace merganser {
namespace {

class Adder {
 public:
  Adder(AdapterApplication& to, const std::vector<std::string>& parameters)
      : to_(to),
        config_(to.adapter.config),
        layouts_(to.base.config.model_type, config_, to.contents, parameters, *to.targets) {}

  void AddModule(const AdapterModule& module, const std::string& parameter) {
    if (module.magnitude != nullptr && !config_.dora) {
      to_.faults.Add(
          absl::StrCat("tensor ", Quoted(module.magnitude->name),
                       " is DoRA's, and adapter_config.json does not say use_dora: true; "
                       "expected both or neither"));
      return;
    }
    if (const CheckpointTensor* target = TargetOf(module, parameter)) {
      AddTo(module, parameter, *target);
      return;
    }
    if (const auto split = FindSplitExperts(*to_.targets, module.name, parameter)) {
      AddToExperts(module, parameter, *split);
      return;
    }
    to_.NoTensor(*module.a,
                 absl::StrCat(module.name, ".", parameter.empty() ? "weight" : parameter));
  }

 private:
  // The tensor that `module` changes; null, with a fault, where there is none.
  const CheckpointTensor* TargetOf(const AdapterModule& module, const std::string& parameter) {
    const std::string name =
        absl::StrCat(module.name, ".", parameter.empty() ? "weight" : parameter);
    if (const CheckpointTensor* found = to_.targets->Find(name)) return found;
    if (parameter.empty() && !module.embedding) {
      const std::string projected = absl::StrCat(module.name, ".in_proj_weight");
      if (const CheckpointTensor* found = to_.targets->Find(projected)) return found;
      if (to_.tie.has_value() && to_.targets->Renamed(name) == to_.tie->copy) {
        to_.model.warnings.push_back(
            absl::StrCat(to_.Name(), ": changes the head ", Quoted(to_.tie->copy),
                         ", which in the base is ", Quoted(to_.tie->kept),
                         ": the delta is added to that tensor, and so to both, as PEFT's "
                         "merge_and_unload() does; used unmerged it changes the head alone"));
        return to_.base.Find(to_.tie->kept);
      }
    }
    return nullptr;
  }

  // The name that rank_pattern and alpha_pattern are held against.
  static std::string KeyOf(const AdapterModule& module, const std::string& parameter) {
    return parameter.empty() ? module.name : absl::StrCat(module.name, ".", parameter);
  }

  // One more module, of what is told.
  static void Count(uint64_t rank, double alpha, double scale, AdapterOrigin& origin) {
    const bool first = origin.modules++ == 0;
    origin.least_rank = first ? rank : std::min(origin.least_rank, rank);
    origin.most_rank = std::max(origin.most_rank, rank);
    origin.least_alpha = first ? alpha : std::min(origin.least_alpha, alpha);
    origin.most_alpha = first ? alpha : std::max(origin.most_alpha, alpha);
    origin.least_scale = first ? scale : std::min(origin.least_scale, scale);
    origin.most_scale = first ? scale : std::max(origin.most_scale, scale);
  }

  // The term of the module in a tensor of `shape`; nullopt, with a fault, where it does not fit.
  // `layout` is settled, unless it is given.
  std::optional<LowRankTerm> TermFor(const AdapterModule& module, const std::string& parameter,
                                     const Shape& shape, std::string_view target,
                                     std::optional<FactorLayout>& layout) {
    const Shape& a = module.a->shape;
    const Shape& b = module.b->shape;
    const std::string found = absl::StrCat("tensors ", Quoted(module.a->name), " of ", ShapeText(a),
                                           " and ", Quoted(module.b->name), " of ", ShapeText(b));
    const FactorLayouts fit = LayoutsThatFit(shape, a, b, module.embedding);
    if (!fit.first.has_value()) {
      to_.faults.Add(absl::StrCat("found ", found, ", expected the factors of ", Quoted(target),
                                  " of ", ShapeText(shape),
                                  ": is this the base that the adapter was trained "
                                  "on?"));
      return std::nullopt;
    }
    if (!layout.has_value()) layout = layouts_.Choose(module, fit);
    if (!layout.has_value()) {
      to_.faults.Add(absl::StrCat(
          "found ", found, ", and ", Quoted(target), " of ", ShapeText(shape),
          ", whose matrices are square: neither shapes nor the model's class tell whether they are "
          "transposed; merge the adapter into its base with PEFT's merge_and_unload(), and name "
          "the result"));
      return std::nullopt;
    }
    const std::string key = KeyOf(module, parameter);
    const uint64_t rank = StoredRank(shape, a, b);
    if (const uint64_t said = config_.RankOf(key); said != rank) {
      to_.faults.Add(absl::StrCat("found ", found, ", which are of rank ", rank, ", expected rank ",
                                  said, " of module ", Quoted(key),
                                  " as adapter_config.json says (r, rank_pattern)"));
      return std::nullopt;
    }
    LowRankTerm term = TermOf(*layout, shape, *module.a, *module.b, rank);
    term.row_factor.block.shard = term.column_factor->block.shard = to_.shard;
    const double scale = config_.ScaleOf(key);
    term.scale = to_.adapter.weight * scale;
    Count(rank, config_.AlphaOf(key), scale, to_.origin);
    return term;
  }

  void AddTo(const AdapterModule& module, const std::string& parameter,
             const CheckpointTensor& target) {
    std::optional<FactorLayout> layout;
    std::optional<LowRankTerm> term = TermFor(module, parameter, target.shape, target.name, layout);
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
    tensor->update->terms.push_back(*term);
    if (module.bias != nullptr) AddBias(module);
    if (to_.tie.has_value() && target.name == to_.tie->kept && module.embedding) {
      to_.model.warnings.push_back(
          absl::StrCat(to_.Name(), ": changes the embedding ", Quoted(to_.tie->kept),
                       ", which in the base is the head ", Quoted(to_.tie->copy),
                       " too: the delta is added to both, as PEFT's merge_and_unload() does; "
                       "used unmerged it changes the embedding alone"));
    }
  }

  void AddToExperts(const AdapterModule& module, const std::string& parameter,
                    const SplitExperts& split) {
    std::optional<FactorLayout> layout = FactorLayout::kExpertsOutIn;
    const FactorLayouts fit =
        LayoutsThatFit(split.shape, module.a->shape, module.b->shape, /*embedding=*/false);
    if (fit.first != FactorLayout::kExpertsOutIn || config_.dora) {
      to_.faults.Add(absl::StrCat(
          "tensor ", Quoted(module.a->name),
          " is of packed experts, which the "
          "base ",
          Quoted(to_.base.given), " stores one by one (", Quoted(split.pieces[0].tensor->name),
          "), and does not fit them as "
          "transformers packs them: ",
          ShapeText(split.shape),
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
    CheckpointTensor& tensor = to_.OfModel(target);
    if (to_.whole.contains(target.name) && !to_.mine.contains(target.name)) {
      to_.faults.Add(
          absl::StrCat("tensor ", Quoted(module.a->name), " changes ", Quoted(target.name),
                       ", which another adapter of this model brings whole; expected one "
                       "of them alone"));
      return nullptr;
    }
    if (!IsComputable(tensor.dtype)) {
      to_.faults.Add(absl::StrCat(
          "tensor ", Quoted(module.a->name), " changes ", Quoted(target.name), ": found dtype ",
          std::string(DTypeName(tensor.dtype)), " in the base, expected F64, F32, F16 or BF16"));
      return nullptr;
    }
    return &tensor;
  }

  void TwoDoras(const AdapterModule& module, const CheckpointTensor& tensor) {
    to_.faults.Add(
        absl::StrCat("module ", Quoted(module.name), ": ", Quoted(tensor.name),
                     " of this model is changed by another adapter too, and one of them is "
                     "DoRA, which cannot be added; expected them in models of their own"));
  }

  void AddLengths(const AdapterModule& module, FactorLayout layout, CheckpointTensor& tensor) {
    if (module.magnitude == nullptr) {
      to_.faults.Add(absl::StrCat("module ", Quoted(module.name),
                                  ": found no lora_magnitude_vector "
                                  "beside ",
                                  Quoted(module.a->name),
                                  ", expected one as adapter_config.json says use_dora: true"));
      return;
    }
    if (to_.adapter.weight != 1) {
      to_.faults.Add(absl::StrCat("found DoRA, and weight ", to_.adapter.weight,
                                  " in the recipe; expected 1, as DoRA is no delta that could be "
                                  "multiplied"));
      return;
    }
    if (tensor.update.has_value()) return TwoDoras(module, tensor);
    Magnitudes magnitudes;
    magnitudes.magnitude = Block(*module.magnitude);
    magnitudes.of_columns = LengthsAreOfColumns(layout);
    const uint64_t lengths = LengthsOf(layout, tensor.shape);
    if (magnitudes.magnitude.elements != lengths || layout == FactorLayout::kExpertsOutIn ||
        layout == FactorLayout::kExpertsInOut) {
      to_.faults.Add(absl::StrCat("tensor ", Quoted(module.magnitude->name), ": found shape ",
                                  ShapeText(module.magnitude->shape), ", expected ", lengths,
                                  " lengths for ", Quoted(tensor.name), " of ",
                                  ShapeText(tensor.shape)));
      return;
    }
    to_.origin.dora = true;
    tensor.update.emplace().magnitudes = magnitudes;
  }

  void AddBias(const AdapterModule& module) {
    const CheckpointTensor& bias = *module.bias;
    if (!config_.lora_bias) {
      to_.faults.Add(absl::StrCat("tensor ", Quoted(bias.name),
                                  " is a bias of lora_B, and adapter_config.json does not say "
                                  "lora_bias: true; expected both or neither"));
      return;
    }
    const std::string name = absl::StrCat(module.name, ".bias");
    const CheckpointTensor* target = to_.targets->Find(name);
    if (target == nullptr || target->shape != bias.shape) {
      to_.faults.Add(absl::StrCat(
          "tensor ", Quoted(bias.name), " of ", ShapeText(bias.shape),
          " is added to a bias, and the base has ",
          target == nullptr ? absl::StrCat("no ", Quoted(name))
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
    term.scale = to_.adapter.weight * config_.ScaleOf(module.name);
    if (!tensor->update.has_value()) tensor->update.emplace();
    tensor->update->terms.push_back(term);
  }

  StoredBlock Block(const CheckpointTensor& tensor) const {
    StoredBlock block = BlockOf(tensor);
    block.shard = to_.shard;
    return block;
  }

  AdapterApplication& to_;
  const AdapterConfig& config_;
  const AdapterLayouts layouts_;
};

}  // namespace

void AddDeltas(AdapterApplication& to) {
  const std::vector<std::string> parameters =
      AssignParameters(to.adapter.config, to.contents, *to.targets, to.faults);
  Adder adder(to, parameters);
  for (size_t m = 0; m < to.contents.modules.size(); ++m) {
    adder.AddModule(to.contents.modules[m], parameters[m]);
  }
}

}  // namespace merganser
