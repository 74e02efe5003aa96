#include "common/checkpoint/packed_experts.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/format/text.h"

namespace merganser {
namespace {

enum class Role { kNone, kGate, kUp, kDown };

// What the three matrices of an expert are called. Which of two of one shape is the gate no
// shape tells.
Role RoleOf(std::string_view leaf) {
  constexpr std::pair<std::string_view, Role> kRoles[] = {
      {"gate_proj", Role::kGate},     {"w1", Role::kGate}, {"gate", Role::kGate},
      {"up_proj", Role::kUp},         {"w3", Role::kUp},   {"up", Role::kUp},
      {"down_proj", Role::kDown},     {"w2", Role::kDown}, {"down", Role::kDown},
      {"output_linear", Role::kDown},
  };
  for (const auto& [name, role] : kRoles) {
    if (leaf == name) return role;
  }
  return Role::kNone;
}

// Whether a matrix of this name holds the gate above the projection up, or the other way
// round; nullopt where the name does not say.
std::optional<bool> GateFirst(std::string_view leaf) {
  constexpr std::string_view kGateUp[] = {"gate_up", "gateup", "w13", "w1_w3", "input_linear"};
  constexpr std::string_view kUpGate[] = {"up_gate", "upgate", "w31", "w3_w1"};
  const auto in = [&](std::string_view word) { return leaf.find(word) != std::string_view::npos; };
  if (std::any_of(std::begin(kGateUp), std::end(kGateUp), in)) return true;
  if (std::any_of(std::begin(kUpGate), std::end(kUpGate), in)) return false;
  return std::nullopt;
}

std::string ShapeText(const Shape& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

// "model.layers.*.mlp.experts" and "gate_proj" of either way to store it.
struct ExpertName {
  std::string stem;
  std::string leaf;
};
// "STEM.*.LEAF" or "STEM.*.LEAF.weight".
std::optional<ExpertName> ParseSingle(std::string_view text) {
  const NameParts parts = SplitName(text);
  size_t end = parts.size();
  if (end > 1 && parts[end - 1] == "weight") --end;
  if (end < 3 || parts[end - 2] != "*") return std::nullopt;
  return ExpertName{JoinName(parts, 0, end - 2), std::string(parts[end - 1])};
}
// "STEM.LEAF" or "STEM.LEAF.weight".
std::optional<ExpertName> ParsePacked(std::string_view text) {
  const NameParts parts = SplitName(text);
  size_t end = parts.size();
  if (end > 1 && parts[end - 1] == "weight") --end;
  if (end < 2) return std::nullopt;
  return ExpertName{JoinName(parts, 0, end - 1), std::string(parts[end - 1])};
}

bool HasRank(const NamePattern& pattern, size_t rank) {
  return pattern.shapes.size() == 1 && pattern.shapes[0].size() == rank;
}

// The matrices of single experts of one stem, by what they are called.
using Singles = std::map<std::string, std::map<std::string, const NamePattern*>>;

Singles SinglesOf(const std::vector<UnmatchedPattern>& patterns) {
  Singles singles;
  for (const UnmatchedPattern& one : patterns) {
    if (!HasRank(*one.pattern, 2)) continue;
    if (const auto name = ParseSingle(one.text)) singles[name->stem][name->leaf] = one.pattern;
  }
  return singles;
}

class Packing {
 public:
  Packing(const Checkpoint& reference, const Checkpoint& model)
      : reference_(reference), model_(model) {}

  // `packed` of `model` called `name` there, whose experts are `singles` of the reference.
  void Unpack(const UnmatchedPattern& packed, const ExpertName& name,
              const std::map<std::string, const NamePattern*>& singles) {
    const Shape& shape = packed.pattern->shapes[0];
    const std::vector<const NamePattern*> halves = Halves(name.leaf, singles);
    if (halves.empty()) return;
    const Shape& one = halves[0]->shapes[0];
    const uint64_t rows = one[0] * halves.size();
    const bool plain = shape[1] == rows && shape[2] == one[1];
    const bool transposed = shape[1] == one[1] && shape[2] == rows;
    if (!plain && !transposed) return;
    if (transposed) {
      Refuse(absl::StrCat(Describe(packed, *halves[0]),
                          plain ? ": its shape does not tell whether its matrices are transposed"
                                : ": its matrices are transposed",
                          ", so they are no runs of rows that could be read one by one; save the "
                          "model with one tensor an expert"));
      return;
    }
    if (halves.size() == 2 && !GateFirst(name.leaf).has_value()) {
      Refuse(absl::StrCat(Describe(packed, *halves[0]),
                          ": its name does not tell whether the gate is the upper half of the rows "
                          "or the lower one; save the model with one tensor an expert"));
      return;
    }
    for (const uint32_t tensor : packed.pattern->tensors) {
      if (!model_.tensors[tensor].scales.has_value()) continue;
      Refuse(absl::StrCat(Describe(packed, *halves[0]),
                          ": it is stored quantised, and is not taken apart; dequantise the model "
                          "first and save it as bfloat16"));
      return;
    }
    for (size_t i = 0; i < packed.pattern->tensors.size(); ++i) {
      if (!Cut(packed, packed.pattern->tensors[i], halves)) return;
    }
  }

  void Refuse(std::string why) {
    if (found_.refusal.empty()) found_.refusal = std::move(why);
  }

  // "'a.experts.*.up' of model 'm' ... against ...".
  std::string Describe(const UnmatchedPattern& packed, const NamePattern& single) const {
    const CheckpointTensor& whole = model_.tensors[packed.pattern->tensors[0]];
    const CheckpointTensor& part = reference_.tensors[single.tensors[0]];
    return absl::StrCat("tensor ", Quoted(whole.name), " of ", ShapeText(whole.shape),
                        " packs the experts that model ", Quoted(reference_.given),
                        " stores one by one (", Quoted(part.name), " of ", ShapeText(part.shape),
                        ")");
  }

  PackedExperts Take() { return std::move(found_); }

 private:
  // The single matrices that `leaf` packs, in their order: one, or gate and up.
  static std::vector<const NamePattern*> Halves(
      const std::string& leaf, const std::map<std::string, const NamePattern*>& singles) {
    if (const auto same = singles.find(leaf); same != singles.end()) return {same->second};
    const NamePattern* of[4] = {};
    for (const auto& [name, pattern] : singles) of[static_cast<size_t>(RoleOf(name))] = pattern;
    const auto role = static_cast<size_t>(RoleOf(leaf));
    if (role != 0) {
      return of[role] == nullptr ? std::vector<const NamePattern*>()
                                 : std::vector<const NamePattern*>{of[role]};
    }
    const NamePattern* gate = of[static_cast<size_t>(Role::kGate)];
    const NamePattern* up = of[static_cast<size_t>(Role::kUp)];
    if (gate == nullptr || up == nullptr || gate->shapes[0] != up->shapes[0]) return {};
    if (GateFirst(leaf).value_or(true)) return {gate, up};
    return {up, gate};
  }

  // False where the reference has other experts there.
  bool Cut(const UnmatchedPattern& packed, uint32_t index,
           const std::vector<const NamePattern*>& halves) {
    const CheckpointTensor& whole = model_.tensors[index];
    if (whole.update.has_value()) {
      Refuse(absl::StrCat(Describe(packed, *halves[0]),
                          ", and an adapter changes it, which cannot be taken apart; name its base "
                          "as one with a tensor an expert"));
      return false;
    }
    const uint64_t experts = whole.shape[0];
    const uint64_t step = experts == 0 ? 0 : whole.size / (experts * halves.size());
    std::vector<std::string_view> numbers = NumbersOf(whole.name);
    numbers.emplace_back();
    PackedTensor cut;
    cut.tensor = index;
    for (uint64_t e = 0; e <= experts; ++e) {
      const std::string expert = absl::StrCat(e);
      numbers.back() = expert;
      for (size_t half = 0; half < halves.size(); ++half) {
        CheckpointTensor piece = whole;
        piece.name = FillPattern(halves[half]->text, numbers);
        if ((reference_.Find(piece.name) != nullptr) != (e < experts)) {
          Refuse(absl::StrCat(Describe(packed, *halves[half]), ": it has ", experts,
                              " experts, and model ", Quoted(reference_.given),
                              e < experts ? " lacks " : " has ", Quoted(piece.name)));
          return false;
        }
        if (e == experts) continue;
        piece.shape = halves[half]->shapes[0];
        piece.offset += (e * halves.size() + half) * step;
        piece.size = step;
        piece.stored = whole.name;
        cut.pieces.push_back(std::move(piece));
      }
    }
    found_.tensors.push_back(std::move(cut));
    return true;
  }

  const Checkpoint& reference_;
  const Checkpoint& model_;
  PackedExperts found_;
};

}  // namespace

PackedExperts FindPackedExperts(const Checkpoint& reference,
                                const std::vector<UnmatchedPattern>& theirs,
                                const Checkpoint& model,
                                const std::vector<UnmatchedPattern>& mine) {
  Packing packing(reference, model);
  const Singles singles = SinglesOf(theirs);
  for (const UnmatchedPattern& one : mine) {
    if (!HasRank(*one.pattern, 3)) continue;
    const auto name = ParsePacked(one.text);
    if (!name.has_value()) continue;
    const auto of = singles.find(name->stem);
    if (of != singles.end()) packing.Unpack(one, *name, of->second);
  }
  // The other way round several tensors would have to be read as one.
  const Singles of_model = SinglesOf(mine);
  for (const UnmatchedPattern& one : theirs) {
    if (!HasRank(*one.pattern, 3)) continue;
    const auto name = ParsePacked(one.text);
    const auto of = name.has_value() ? of_model.find(name->stem) : of_model.end();
    if (of == of_model.end()) continue;
    const CheckpointTensor& whole = reference.tensors[one.pattern->tensors[0]];
    const CheckpointTensor& part = model.tensors[of->second.begin()->second->tensors[0]];
    packing.Refuse(absl::StrCat(
        "model ", Quoted(reference.given), " packs its experts (", Quoted(whole.name), " of ",
        ShapeText(whole.shape), "), and this model has one tensor an expert (", Quoted(part.name),
        " of ", ShapeText(part.shape),
        "): name a model with one tensor an expert as base_model, whose layout the output then "
        "gets, or save both in one layout"));
  }
  return packing.Take();
}

}  // namespace merganser
