#include "common/checkpoint/partial_models.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/config_checks.h"
#include "common/checkpoint/layers.h"
#include "common/checkpoint/model_parts.h"
#include "common/checkpoint/names.h"
#include "common/checkpoint/rename_messages.h"
#include "common/checkpoint/rename_search.h"
#include "common/checkpoint/rename_view.h"
#include "common/format/text.h"

namespace merganser {
namespace {

std::vector<bool> LackedBy(const Checkpoint& model, const Checkpoint& reference) {
  std::vector<bool> lacks(reference.tensors.size());
  for (size_t t = 0; t < lacks.size(); ++t) {
    lacks[t] = model.Find(reference.tensors[t].name) == nullptr;
  }
  return lacks;
}

// "share 20 of 31 tensors; model 'm' lacks 11: ..., and has 2 that model 'b' lacks: ...".
std::string DescribeShare(const Checkpoint& model, const Checkpoint& reference,
                          const std::vector<bool>& lacks) {
  std::map<std::string, size_t> lacking, extra;
  size_t lacking_total = 0, extra_total = 0;
  for (size_t t = 0; t < lacks.size(); ++t) {
    const CheckpointTensor& tensor = reference.tensors[t];
    if (!lacks[t] || IsComputedBuffer(tensor.name, tensor.shape)) continue;
    ++lacking[Pattern(tensor.name)];
    ++lacking_total;
  }
  for (const CheckpointTensor& tensor : model.tensors) {
    if (reference.Find(tensor.name) != nullptr || IsComputedBuffer(tensor.name, tensor.shape)) {
      continue;
    }
    ++extra[Pattern(tensor.name)];
    ++extra_total;
  }
  if (lacking_total + extra_total == 0) return "";
  std::string text = absl::StrCat("share ", lacks.size() - lacking_total, " of ", lacks.size(),
                                  " tensors of model ", Quoted(reference.given));
  if (lacking_total > 0) {
    absl::StrAppend(&text, "; model ", Quoted(model.given), " lacks ", lacking_total, ": ",
                    KindsText(lacking));
  }
  if (extra_total > 0) {
    absl::StrAppend(&text, "; model ", Quoted(model.given), " has ", extra_total,
                    " that the other lacks: ", KindsText(extra));
  }
  return text;
}

std::string Offer(const Checkpoint& reference) {
  return absl::StrCat(
      "`allow_partial: true` in the recipe merges what they share, and takes the rest from model ",
      Quoted(reference.given));
}

bool IsPart(const PartsJudgement& judgement) {
  return judgement.shares && std::all_of(judgement.reasons.begin(), judgement.reasons.end(),
                                         [](const std::string& reason) { return reason.empty(); });
}

// What the error of models that are not of one kind ends with; empty where they share too
// little.
std::string OfferOfKinds(const Checkpoint& model, const Checkpoint& reference) {
  const Renaming renaming = FindRenaming(reference, model);
  if (!renaming.ambiguity.empty() || !renaming.packed.refusal.empty()) return "";
  std::optional<Checkpoint> renamed;
  if (!renaming.empty()) renamed = RenamedView(model, renaming);
  const Checkpoint& view = renamed.has_value() ? *renamed : model;
  const std::vector<bool> lacks = LackedBy(view, reference);
  const std::vector<bool> none(lacks.size(), false);
  if (!IsPart(ModelParts(reference).Judge(lacks, none, true))) return "";
  const std::string share = DescribeShare(view, reference, lacks);
  if (share.empty()) return "";
  return absl::StrCat("; they ", share, ": ", Offer(reference),
                      renaming.empty()
                          ? ""
                          : absl::StrCat(", together with `rename: auto`, as names differ (",
                                         DescribeRenaming(renaming, reference, model), ")"));
}

}  // namespace

absl::StatusOr<std::string> CheckKinds(const Checkpoint& model, const Checkpoint& reference,
                                       bool allow_partial) {
  absl::StatusOr<std::string> kinds = CompareKinds(model, reference);
  if (kinds.ok()) return kinds;
  const std::string message(kinds.status().message());
  if (!allow_partial) {
    return absl::InvalidArgumentError(absl::StrCat(message, OfferOfKinds(model, reference)));
  }
  const Renaming renaming = FindRenaming(reference, model);
  if (!renaming.empty()) {
    return absl::InvalidArgumentError(RefuseRenaming(renaming, reference, model));
  }
  const std::vector<bool> lacks = LackedBy(model, reference);
  const std::vector<bool> none(lacks.size(), false);
  // What is there in part is told by its tensors, later.
  if (!ModelParts(reference).Judge(lacks, none, true).touches) {
    return absl::InvalidArgumentError(absl::StrCat(
        message, ", and `allow_partial` does not help: they share no tensor of any layer"));
  }
  return absl::StrCat(
      "model ", Quoted(model.given), ": ", message,
      "; they are merged over the tensors that they share, as `allow_partial` says");
}

std::map<uint32_t, std::string> SettleParts(const std::vector<const Checkpoint*>& models,
                                            const AlignOptions& options,
                                            const std::vector<AlignedTensor>& tensors,
                                            const std::vector<uint32_t>& wanted,
                                            const std::vector<MissingTensor>& missing,
                                            std::vector<JudgedTensor>& judged) {
  const Checkpoint& reference = *models[options.reference];
  std::map<uint32_t, std::string> offers;
  std::set<uint32_t> refused;
  std::map<size_t, size_t> lacked;  // tensor -> models
  // Of a model of another class a kind that it lacks is no sign that training left it out.
  std::map<uint32_t, bool> other_class;
  for (size_t i = 0; i < missing.size(); ++i) {
    const MissingTensor& one = missing[i];
    const auto [other, added] = other_class.try_emplace(one.model, false);
    if (added) other->second = !CompareKinds(*models[one.model], reference).ok();
    if (other->second && options.allow_partial &&
        !IsComputedBuffer(tensors[one.tensor].name, tensors[one.tensor].shape)) {
      judged[i] = {};
    }
    if (judged[i].verdict == MissingVerdict::kRefused) refused.insert(one.model);
    ++lacked[one.tensor];
  }
  if (refused.empty()) return offers;
  const ModelParts parts(reference);
  for (const uint32_t m : refused) {
    std::vector<bool> lacks(reference.tensors.size()), forgiven(reference.tensors.size());
    for (size_t i = 0; i < missing.size(); ++i) {
      if (missing[i].model != m) continue;
      lacks[wanted[missing[i].tensor]] = true;
      forgiven[wanted[missing[i].tensor]] = judged[i].verdict != MissingVerdict::kRefused;
    }
    const PartsJudgement judgement = parts.Judge(lacks, forgiven, other_class[m]);
    const bool damaged = std::any_of(judgement.reasons.begin(), judgement.reasons.end(),
                                     [](const std::string& reason) { return !reason.empty(); });
    bool all = judgement.shares;
    for (size_t i = 0; i < missing.size(); ++i) {
      const MissingTensor& one = missing[i];
      if (one.model != m || judged[i].verdict != MissingVerdict::kRefused) continue;
      std::string reason = judgement.reasons[wanted[one.tensor]];
      // Where something is damaged that is what there is to say.
      if (reason.empty() && !judgement.shares && !damaged) {
        reason = "; the model has the layers of no tower whole";
      }
      // Layers that are there under other names are no part that is lacking.
      if (reason.empty() && ParseLayer(one.similar).has_value()) {
        reason = absl::StrCat("; the model has a tensor ", Quoted(one.similar),
                              " that the reference lacks: renamed or packed weights?");
      }
      if (reason.empty() && !options.is_base &&
          lacked[one.tensor] + 1 < tensors[one.tensor].sources.size()) {
        reason =
            "; other models have it: name as base_model what they were trained from, whose "
            "tensor then stands for it";
      }
      if (!reason.empty()) {
        all = false;
        if (options.allow_partial) judged[i].reason = reason;
      } else if (options.allow_partial) {
        judged[i].verdict = MissingVerdict::kUnchanged;
      }
    }
    // Else a base is what is to be named first.
    if (!options.allow_partial && all && (options.is_base || other_class[m])) {
      offers[m] = absl::StrCat("model ", Quoted(models[m]->given), " at ", models[m]->uri, " and ",
                               reference.uri, " ", DescribeShare(*models[m], reference, lacks),
                               ": ", Offer(reference));
    }
  }
  if (options.allow_partial) MarkCopied(missing, tensors, options.reference, judged);
  return offers;
}

}  // namespace merganser
