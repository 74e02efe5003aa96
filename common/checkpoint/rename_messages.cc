#include "common/checkpoint/rename_messages.h"

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/checkpoint/name_patterns.h"
#include "common/format/text.h"

namespace merganser {
namespace {

// What wrote a wrapper into the names, and how to save without it.
constexpr std::pair<std::string_view, std::string_view> kWrappers[] = {
    {"base_model", "merge the adapter into its base, e.g. with peft's merge_and_unload()"},
    {"module", "save the wrapped module of DataParallel, DDP or DeepSpeed"},
    {"_fsdp_wrapped_module", "save the full state of FSDP"},
    {"_checkpoint_wrapped_module", "save the module that activation checkpointing wraps"},
    {"_orig_mod", "save the module that torch.compile wraps"},
    {"pretrained_model", "save the model that TRL wraps"},
};
constexpr std::string_view kVersions =
    "save both with the same version of transformers and the same model class";

std::string Dotted(std::string_view prefix) {
  return Quoted(prefix.empty() ? std::string() : absl::StrCat(std::string(prefix), "."));
}

std::string DescribeRewrite(const Rewrite& rewrite, size_t tensors,
                            const std::string& of_reference) {
  const std::string count = absl::StrCat(tensors, tensors == 1 ? " tensor" : " tensors");
  const std::string_view s = tensors == 1 ? "s" : "";
  switch (rewrite.where) {
    case Rewrite::Where::kFront:
      if (rewrite.from.empty()) {
        return absl::StrCat(count, " of ", of_reference, " begin", std::string(s), " with ",
                            Dotted(rewrite.to), ", which these do not");
      }
      if (rewrite.to.empty()) {
        return absl::StrCat(count, " begin", std::string(s), " with ", Dotted(rewrite.from),
                            ", which those of ", of_reference, " do not");
      }
      return absl::StrCat(count, " begin", std::string(s), " with ", Dotted(rewrite.from),
                          ", expected ", Dotted(rewrite.to), " as in ", of_reference);
    case Rewrite::Where::kWithin:
      if (rewrite.from.empty()) {
        return absl::StrCat(count, " of ", of_reference, " have a wrapper ", Quoted(rewrite.to),
                            " within their names, which these have not");
      }
      if (rewrite.to.empty()) {
        return absl::StrCat(count, " have a wrapper ", Quoted(rewrite.from),
                            " within their names, which those of ", of_reference, " have not");
      }
      return absl::StrCat(count, " have ", Quoted(rewrite.from), " within their names, expected ",
                          Quoted(rewrite.to), " as in ", of_reference);
    case Rewrite::Where::kLast:
      return absl::StrCat(count, " end", std::string(s), " in ", Quoted(rewrite.from),
                          ", expected ", Quoted(rewrite.to), " as in ", of_reference);
  }
  return "";
}

// How to save the model that has the wrapper, where it is a known one.
std::string Advice(const Renaming& renaming, const Checkpoint& reference, const Checkpoint& model) {
  for (const FoundRule& found : renaming.rules) {
    for (const Rewrite& rewrite : found.rule.rewrites) {
      const bool mine = rewrite.to.empty();
      if (!mine && !rewrite.from.empty()) continue;
      const std::string& text = mine ? rewrite.from : rewrite.to;
      const NameParts parts = SplitName(text);
      for (const auto& [wrapper, advice] : kWrappers) {
        if (std::find(parts.begin(), parts.end(), wrapper) == parts.end()) continue;
        return absl::StrCat(std::string(advice), " (of model ",
                            Quoted(mine ? model.given : reference.given), ")");
      }
    }
  }
  return std::string(kVersions);
}

}  // namespace

std::string DescribeRule(const FoundRule& found, const Checkpoint& reference) {
  const std::string of_reference = absl::StrCat("model ", Quoted(reference.given));
  std::vector<std::string> parts;
  for (size_t i = 0; i < found.rule.rewrites.size(); ++i) {
    if (found.rewritten[i] == 0) continue;
    parts.push_back(DescribeRewrite(found.rule.rewrites[i], found.rewritten[i], of_reference));
  }
  return absl::StrCat(absl::StrJoin(parts, " and "), " (", Quoted(found.name), " against ",
                      Quoted(found.reference_name), ")");
}

std::string DescribeRenaming(const Renaming& renaming, const Checkpoint& reference,
                             const Checkpoint& model) {
  std::vector<std::string> parts;
  parts.reserve(renaming.rules.size() + 1);
  for (const FoundRule& found : renaming.rules) {
    parts.push_back(DescribeRule(found, reference));
  }
  if (!renaming.packed.tensors.empty()) {
    const PackedTensor& first = renaming.packed.tensors[0];
    const size_t count = renaming.packed.tensors.size();
    size_t pieces = 0;
    for (const PackedTensor& packed : renaming.packed.tensors) pieces += packed.pieces.size();
    parts.push_back(absl::StrCat(count, count == 1 ? " tensor packs " : " tensors pack ", pieces,
                                 " of experts, each in one "
                                 "run of rows (",
                                 Quoted(model.tensors[first.tensor].name), " against ",
                                 Quoted(first.pieces[0].name), ")"));
  }
  return absl::StrJoin(parts, "; ");
}

std::string RefuseRenaming(const Renaming& renaming, const Checkpoint& reference,
                           const Checkpoint& model) {
  const std::string at =
      absl::StrCat("model ", Quoted(model.given), ": ", model.DescribeShard(0), ": ");
  if (!renaming.ambiguity.empty()) {
    return absl::StrCat(at, "its names are not those of ", reference.uri, ", and ",
                        renaming.ambiguity, ": rename its tensors so that one meaning is left");
  }
  if (!renaming.packed.refusal.empty()) return absl::StrCat(at, renaming.packed.refusal);
  return absl::StrCat(at, "names differ from those at ", reference.uri, ": ",
                      DescribeRenaming(renaming, reference, model),
                      ": write `rename: auto` in the recipe to have them taken under the names of "
                      "model ",
                      Quoted(reference.given), ", or ", Advice(renaming, reference, model));
}

}  // namespace merganser
