#include "common/checkpoint/missing_tensors.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/checkpoint/names.h"
#include "common/format/text.h"

namespace merganser {
namespace {

constexpr size_t kNamedKinds = 8;

std::string KindOf(const std::string& name, const LayerCounts& layers) {
  std::string kind = Pattern(name);
  if (const std::optional<LayerName> parsed = ParseLayer(name)) {
    const auto count = layers.find(parsed->stack);
    if (count != layers.end() && parsed->layer >= count->second) kind += " behind the layers";
  }
  return kind;
}

struct Tally {
  size_t wanted = 0;
  size_t missing = 0;
};

size_t Total(const std::map<std::string, size_t>& kinds) {
  size_t total = 0;
  for (const auto& [kind, count] : kinds) total += count;
  return total;
}

}  // namespace

std::string KindsText(const std::map<std::string, size_t>& kinds) {
  std::vector<std::string> parts;
  for (const auto& [kind, count] : kinds) {
    if (parts.size() == kNamedKinds) {
      parts.push_back(absl::StrCat("and ", kinds.size() - kNamedKinds, " more kinds"));
      break;
    }
    parts.push_back(absl::StrCat(count, " ", Quoted(kind)));
  }
  return absl::StrJoin(parts, ", ");
}

void MarkCopied(const std::vector<MissingTensor>& missing,
                const std::vector<AlignedTensor>& tensors, uint32_t reference,
                std::vector<JudgedTensor>& judged) {
  std::map<size_t, size_t> forgiven;  // tensor -> its sources that lack it
  for (size_t i = 0; i < missing.size(); ++i) {
    if (judged[i].verdict == MissingVerdict::kUnchanged) ++forgiven[missing[i].tensor];
  }
  for (size_t i = 0; i < missing.size(); ++i) {
    if (judged[i].verdict != MissingVerdict::kUnchanged) continue;
    size_t lack = forgiven[missing[i].tensor];
    for (const TensorSource& source : tensors[missing[i].tensor].sources) {
      if (source.model == reference) ++lack;
    }
    if (lack == tensors[missing[i].tensor].sources.size()) {
      judged[i].verdict = MissingVerdict::kCopied;
    }
  }
}

std::vector<JudgedTensor> JudgeMissing(const std::vector<MissingTensor>& missing,
                                       const std::vector<AlignedTensor>& tensors,
                                       const LayerCounts& layers, uint32_t reference,
                                       bool has_base) {
  std::vector<std::string> kinds;
  kinds.reserve(tensors.size());
  for (const AlignedTensor& tensor : tensors) kinds.push_back(KindOf(tensor.name, layers));
  // Model by model, of all kinds and of each.
  std::map<uint32_t, Tally> models;
  std::map<std::pair<uint32_t, std::string_view>, Tally> tallies;
  std::set<std::pair<uint32_t, size_t>> lacking;  // model and tensor
  for (const MissingTensor& one : missing) lacking.emplace(one.model, one.tensor);
  for (size_t t = 0; t < tensors.size(); ++t) {
    std::set<uint32_t> of;
    for (const TensorSource& source : tensors[t].sources) of.insert(source.model);
    for (const uint32_t model : of) {
      const bool lacks = lacking.contains({model, t});
      Tally& tally = tallies[{model, kinds[t]}];
      ++tally.wanted;
      tally.missing += lacks;
      if (IsComputedBuffer(tensors[t].name, tensors[t].shape)) continue;
      ++models[model].wanted;
      models[model].missing += lacks;
    }
  }
  std::vector<JudgedTensor> judged(missing.size());
  for (size_t i = 0; i < missing.size(); ++i) {
    const MissingTensor& one = missing[i];
    if (!one.from_reference) continue;
    const AlignedTensor& tensor = tensors[one.tensor];
    if (IsComputedBuffer(tensor.name, tensor.shape)) {
      judged[i].verdict = MissingVerdict::kCopied;
      continue;
    }
    const Tally& kind = tallies[{one.model, kinds[one.tensor]}];
    const Tally& all = models[one.model];
    if (!has_base) {
      judged[i].reason =
          "; if one of the models is what the others were trained from, name it as base_model: "
          "what training left out is then taken from it";
    } else if (one.is_end) {
      judged[i].reason =
          "; a model does not work without its embedding and head: it may be damaged";
    } else if (kind.missing < kind.wanted) {
      judged[i].reason = absl::StrCat("; the model has ", kind.wanted - kind.missing, " of ",
                                      kind.wanted, " such tensors: a file of it may be lost");
    } else if (!one.similar.empty()) {
      judged[i].reason = absl::StrCat("; the model has a tensor ", Quoted(one.similar),
                                      " that the reference lacks: renamed or packed weights?");
    } else if (2 * all.missing > all.wanted) {
      judged[i].reason = absl::StrCat("; the model lacks ", all.missing, " of ", all.wanted,
                                      " tensors: it is none of this kind, or damaged");
    } else {
      judged[i].verdict = MissingVerdict::kUnchanged;
    }
  }
  MarkCopied(missing, tensors, reference, judged);
  return judged;
}

std::vector<std::string> DescribeMissing(const std::vector<MissingTensor>& missing,
                                         const std::vector<JudgedTensor>& judged,
                                         const std::vector<AlignedTensor>& tensors,
                                         const std::vector<const Checkpoint*>& models,
                                         uint32_t reference) {
  std::set<size_t> copied;
  std::map<uint32_t, std::map<std::string, size_t>> unchanged;
  for (size_t i = 0; i < missing.size(); ++i) {
    const std::string kind = Pattern(tensors[missing[i].tensor].name);
    if (judged[i].verdict == MissingVerdict::kCopied) copied.insert(missing[i].tensor);
    if (judged[i].verdict == MissingVerdict::kUnchanged) ++unchanged[missing[i].model][kind];
  }
  std::vector<std::string> lines;
  std::map<std::string, size_t> kinds;
  for (const size_t t : copied) ++kinds[Pattern(tensors[t].name)];
  if (!kinds.empty()) {
    const size_t total = Total(kinds);
    lines.push_back(absl::StrCat("copied ", total, total == 1 ? " tensor" : " tensors",
                                 " bit for bit from model ", Quoted(models[reference]->given),
                                 ", as other models lack ",
                                 total == 1 ? "it: " : "them: ", KindsText(kinds)));
  }
  for (const auto& [model, of] : unchanged) {
    const size_t total = Total(of);
    lines.push_back(absl::StrCat("model ", Quoted(models[model]->given), ": lacks ", total,
                                 total == 1 ? " tensor" : " tensors",
                                 " that others have and counts as unchanged from model ",
                                 Quoted(models[reference]->given), " there: ", KindsText(of)));
  }
  return lines;
}

}  // namespace merganser
