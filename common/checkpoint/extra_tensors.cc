#include "common/checkpoint/extra_tensors.h"

#include <cstddef>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/layers.h"
#include "common/checkpoint/missing_tensors.h"
#include "common/checkpoint/names.h"
#include "common/format/text.h"

namespace merganser {
namespace {

// "model.norm.weight" -> "norm.weight".
std::string_view LastTwo(std::string_view name) {
  const size_t last = name.rfind('.');
  if (last == std::string_view::npos || last == 0) return name;
  const size_t before = name.rfind('.', last - 1);
  return before == std::string_view::npos ? name : name.substr(before + 1);
}

std::string_view Explain(std::string_view name) {
  if (name.starts_with("v_head.") || name.find("value_head") != std::string_view::npos ||
      name.starts_with("score.")) {
    return "a value or reward head";
  }
  if (name.ends_with("inv_freq")) return "computed when the model is loaded";
  return "the merge would not know what to add them to";
}

}  // namespace

ExtraTensors::ExtraTensors(const Checkpoint& model, const std::vector<bool>& used) : model_(model) {
  for (size_t i = 0; i < used.size(); ++i) {
    const CheckpointTensor& extra = model.tensors[i];
    if (used[i]) continue;
    extras_.push_back(&extra);
    if (IsComputedBuffer(extra.name, extra.shape)) continue;
    by_ending_[LastTwo(extra.name)].push_back(&extra);
    if (const std::optional<LayerName> layer = ParseLayer(extra.name)) {
      by_stack_.try_emplace(layer->stack, &extra);
    }
  }
}

std::string ExtraTensors::Like(std::string_view name, const Shape& shape) const {
  const auto alike = by_ending_.find(LastTwo(name));
  if (alike != by_ending_.end()) {
    for (const CheckpointTensor* extra : alike->second) {
      if (extra->shape == shape) return extra->name;
    }
  }
  const std::optional<LayerName> layer = ParseLayer(name);
  if (!layer.has_value()) return "";
  const auto beside = by_stack_.find(layer->stack);
  return beside == by_stack_.end() ? "" : beside->second->name;
}

std::vector<std::string> ExtraTensors::Describe(const Checkpoint& reference, bool partial) const {
  if (partial) {
    std::map<std::string, size_t> folded;
    for (const CheckpointTensor* extra : extras_) ++folded[Pattern(extra->name)];
    if (folded.empty()) return {};
    return {absl::StrCat("model ", Quoted(model_.given), ": left out ", extras_.size(),
                         extras_.size() == 1 ? " tensor" : " tensors", " that ", reference.uri,
                         " does not have: ", KindsText(folded))};
  }
  struct Kind {
    size_t count = 0;
    std::string_view first;
  };
  std::map<std::string, Kind> kinds;
  for (const CheckpointTensor* extra : extras_) {
    Kind& kind = kinds[Pattern(extra->name)];
    if (kind.count++ == 0) kind.first = extra->name;
  }
  std::vector<std::string> lines;
  lines.reserve(kinds.size());
  for (const auto& [pattern, kind] : kinds) {
    lines.push_back(absl::StrCat("model ", Quoted(model_.given), ": dropped ", kind.count,
                                 kind.count == 1 ? " tensor " : " tensors ", Quoted(pattern),
                                 " that ", reference.uri, " does not have (",
                                 std::string(Explain(kind.first)), ")"));
  }
  return lines;
}

}  // namespace merganser
