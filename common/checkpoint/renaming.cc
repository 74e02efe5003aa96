#include "common/checkpoint/renaming.h"

#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/format/text.h"

namespace merganser {
namespace {

constexpr std::string_view kVersions =
    "save both with the same version of transformers and the same model class, or rename the "
    "tensors of one";
constexpr std::string_view kPeft =
    "it was saved with its adapter: merge the adapter into its base and save the plain model, "
    "e.g. with peft's merge_and_unload()";
constexpr std::string_view kDistributed =
    "it was saved inside a distributed wrapper (DataParallel, DDP, FSDP): save the wrapped module";
constexpr std::string_view kCompiled =
    "it was saved inside torch.compile's wrapper: save the original module";

struct Renaming {
  std::string_view one, other;  // prefixes
  std::string_view advice;
};
constexpr Renaming kRenamings[] = {
    {"model.", "model.language_model.", kVersions},
    {"model.", "language_model.model.", kVersions},
    {"model.language_model.", "language_model.model.", kVersions},
    {"", "base_model.model.", kPeft},
    {"", "module.", kDistributed},
    {"", "_orig_mod.", kCompiled},
    {"", "model.", kVersions},
};

// `name` with `from` at its front replaced by `to`; empty if it is not there.
std::string Renamed(std::string_view name, std::string_view from, std::string_view to) {
  if (!name.starts_with(from)) return "";
  return absl::StrCat(std::string(to), std::string(name.substr(from.size())));
}

const CheckpointTensor* FindRenamed(const Checkpoint& model, const std::string& name) {
  if (name.empty()) return nullptr;
  return model.Find(name);
}

}  // namespace

std::optional<std::string> ExplainRenaming(const std::vector<std::string>& missing,
                                           const Checkpoint& reference, const Checkpoint& model) {
  size_t best = 0;
  std::optional<std::string> explained;
  for (const Renaming& renaming : kRenamings) {
    for (const bool reverse : {false, true}) {
      const std::string_view from = reverse ? renaming.other : renaming.one;
      const std::string_view to = reverse ? renaming.one : renaming.other;
      size_t count = 0;
      const CheckpointTensor* first = nullptr;
      std::string_view first_missing;
      for (const std::string& name : missing) {
        const CheckpointTensor* found = FindRenamed(model, Renamed(name, from, to));
        if (found == nullptr) continue;
        ++count;
        if (first == nullptr) {
          first = found;
          first_missing = name;
        }
      }
      if (count <= best || count * 2 < missing.size()) continue;
      best = count;
      const Checkpoint& wrapped = reverse ? reference : model;
      explained = absl::StrCat(
          model.DescribeShard(first->shard), ": ", count, " tensors begin with ", Quoted(to),
          ", expected ", Quoted(from), " as in ", reference.uri, " (", Quoted(first->name),
          " against ", Quoted(first_missing), "): ",
          renaming.advice == kVersions
              ? std::string(kVersions)
              : absl::StrCat("of ", Quoted(wrapped.given), ", ", std::string(renaming.advice)));
    }
  }
  return explained;
}

}  // namespace merganser
