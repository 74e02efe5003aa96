#include "common/checkpoint/settled_ties.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/checkpoint/stored_bytes.h"
#include "common/format/text.h"

namespace merganser {
namespace {

// What the model says of the tie; nullopt where neither config nor class is known.
std::optional<bool> Says(const Checkpoint& model, const Tie& tie) {
  if (!tie.by_config) return true;
  if (model.config.tie_stated) return model.config.tie_word_embeddings;
  return TiesByClass(model.config.model_type);
}

// Whether the one name may stand for the other where only one is stored.
bool MayFill(const Checkpoint& model, const Tie& tie) {
  return !tie.by_config || !model.config.tie_stated || model.config.tie_word_embeddings;
}

// Whether two names of one model hold the same. Reads them up to the first difference.
absl::StatusOr<bool> SameBytes(const Checkpoint& model, const CheckpointTensor& a,
                               const CheckpointTensor& b) {
  if (a.dtype != b.dtype || a.shape != b.shape) return false;
  // What an adapter adds to one of them makes them two.
  if (a.update.has_value() || b.update.has_value()) return false;
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<uint64_t> difference,
                             FirstDifference({&model, &a}, {&model, &b}));
  return !difference.has_value();
}

class TieSettler {
 public:
  TieSettler(const std::vector<const Checkpoint*>& models, uint32_t reference)
      : models_(models), reference_(*models[reference]) {}

  absl::StatusOr<SettledTies> Settle() {
    std::vector<Tie> ties = FindTies(models_);
    if (std::optional<Tie> implied = ImpliedTie(reference_)) {
      const auto same = [&](const Tie& tie) { return tie.copy == implied->copy; };
      if (std::none_of(ties.begin(), ties.end(), same)) ties.push_back(*std::move(implied));
    }
    for (const Tie& tie : ties) MERGANSER_RETURN_IF_ERROR(SettleOne(tie));
    return std::move(settled_);
  }

 private:
  absl::Status SettleOne(const Tie& tie) {
    const bool kept = reference_.Find(tie.kept) != nullptr;
    const bool copy = reference_.Find(tie.copy) != nullptr;
    if (!kept && !copy) return absl::OkStatus();
    SettledTie& settled = settled_.ties.emplace_back();
    settled.tie = tie;
    if (kept && copy && tie.by_config && KeepsHeadApart(reference_.config.model_type)) {
      settled.one = false;
      return absl::OkStatus();
    }
    if (kept && copy) return SettleStored(settled);
    settled.one = MayFill(reference_, tie) || kept;
    if (settled.one) return RefuseOthers(tie);
    return absl::OkStatus();
  }

  // The reference stores both names.
  absl::Status SettleStored(SettledTie& settled) {
    const Tie tie = settled.tie;
    const std::optional<bool> says = Says(reference_, tie);
    settled.one = false;
    // Without a config nobody says what the names mean.
    if (says == false || (!says.has_value() && reference_.config.model_type.empty())) {
      return WarnOfOthers(tie);
    }
    MERGANSER_ASSIGN_OR_RETURN(const std::vector<const Checkpoint*> other, WithAnother(tie));
    if (other.empty()) {
      settled.one = true;
      // A class that is not known here may not tie by itself.
      if (!says.has_value()) settled_.tie_word_embeddings = true;
      return absl::OkStatus();
    }
    if (!says.has_value()) return absl::OkStatus();
    const std::vector<std::string> names = Names(other);
    settled_.warnings.push_back(
        absl::StrCat(tie.by_config ? "embeddings are tied" : "one parameter", ", but ",
                     absl::StrJoin(names, ", "), names.size() == 1 ? " stores" : " store",
                     " tensor ", Quoted(tie.copy), " with other values than ", Quoted(tie.kept),
                     ": both are ", models_.size() == 1 ? "kept" : "merged and kept",
                     tie.by_config ? ", and config.json gets tie_word_embeddings: false" : ""));
    settled_.Untie(settled);
    return absl::OkStatus();
  }

  // The models that store both names with different values; with `said`, of those
  // whose config.json says that they tie.
  absl::StatusOr<std::vector<const Checkpoint*>> WithAnother(const Tie& tie,
                                                             bool said = false) const {
    std::vector<const Checkpoint*> found;
    for (const Checkpoint* model : models_) {
      const CheckpointTensor* kept = model->Find(tie.kept);
      const CheckpointTensor* copy = model->Find(tie.copy);
      if (kept == nullptr || copy == nullptr) continue;
      if (said && !(model->config.tie_stated && model->config.tie_word_embeddings)) continue;
      MERGANSER_ASSIGN_OR_RETURN(const bool same, SameBytes(*model, *kept, *copy));
      if (!same) found.push_back(model);
    }
    return found;
  }

  // The output has no place for a copy that is another tensor.
  absl::Status RefuseOthers(const Tie& tie) const {
    MERGANSER_ASSIGN_OR_RETURN(const std::vector<const Checkpoint*> other, WithAnother(tie));
    if (other.empty()) return absl::OkStatus();
    const Checkpoint& model = *other[0];
    return absl::InvalidArgumentError(absl::StrCat(
        "model ", Quoted(model.given), ": ", model.DescribeShard(model.Find(tie.copy)->shard),
        ": tensor ", Quoted(tie.copy),
        tie.by_config ? " is a head of its own (embeddings not tied, other values than "
                      : " is a tensor of its own (other values than ",
        Quoted(tie.kept), "), but model ", Quoted(reference_.given), " at ", reference_.uri,
        tie.by_config
            ? " ties its head to embed_tokens: untie the base, or train with tied embeddings"
            : " has it once: give both models one set of tensors"));
  }

  // What loading ties in another model is merged as it is stored.
  absl::Status WarnOfOthers(const Tie& tie) {
    MERGANSER_ASSIGN_OR_RETURN(const std::vector<const Checkpoint*> differ, WithAnother(tie, true));
    for (const std::string& name : Names(differ)) {
      settled_.warnings.push_back(
          absl::StrCat(name, ": config.json ties the embeddings, but tensor ", Quoted(tie.copy),
                       " is stored with other values than ", Quoted(tie.kept),
                       ": it is merged as it is stored"));
    }
    return absl::OkStatus();
  }

  static std::vector<std::string> Names(const std::vector<const Checkpoint*>& models) {
    std::vector<std::string> names;
    names.reserve(models.size());
    for (const Checkpoint* model : models) {
      names.push_back(absl::StrCat("model ", Quoted(model->given)));
    }
    return names;
  }

  const std::vector<const Checkpoint*>& models_;
  const Checkpoint& reference_;
  SettledTies settled_;
};

}  // namespace

const SettledTie* SettledTies::LeftOut(std::string_view name) const {
  for (const SettledTie& settled : ties) {
    if (settled.one && settled.tie.copy == name) return &settled;
  }
  return nullptr;
}

std::pair<const CheckpointTensor*, bool> SettledTies::Source(const Checkpoint& model,
                                                             std::string_view name) const {
  if (const CheckpointTensor* stored = model.Find(name)) return {stored, false};
  for (const bool one : {true, false}) {
    for (const SettledTie& settled : ties) {
      const Tie& tie = settled.tie;
      if (settled.one != one || !MayFill(model, tie)) continue;
      const CheckpointTensor* other = nullptr;
      if (tie.kept == name) other = model.Find(tie.copy);
      if (tie.copy == name) other = model.Find(tie.kept);
      if (other != nullptr) return {other, true};
    }
  }
  return {nullptr, false};
}

bool SettledTies::IsEnd(std::string_view name) const {
  return std::any_of(ties.begin(), ties.end(), [&](const SettledTie& settled) {
    const Tie& tie = settled.tie;
    return tie.by_config && (tie.kept == name || tie.copy == name);
  });
}

void SettledTies::Untie(SettledTie& tie) {
  tie.one = false;
  if (tie.tie.by_config) tie_word_embeddings = false;
}

absl::StatusOr<SettledTies> SettleTies(const std::vector<const Checkpoint*>& models,
                                       uint32_t reference) {
  return TieSettler(models, reference).Settle();
}

}  // namespace merganser
