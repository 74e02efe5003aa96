#include "common/checkpoint/model_parts.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/layers.h"
#include "common/checkpoint/names.h"
#include "common/format/text.h"

namespace merganser {
namespace {

// No model has as many; names that are made up may.
constexpr size_t kMaxStacks = 256;

// "a.b." -> "a.", "a." -> "".
std::string_view Wider(std::string_view prefix) {
  prefix.remove_suffix(1);
  const size_t dot = prefix.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : prefix.substr(0, dot + 1);
}

bool IsEmbedding(std::string_view name) {
  return IsBeforeLayers(name) || EndsInComponent(name, "shared.weight");
}

bool IsNumber(std::string_view part) {
  return std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::string_view LastPart(std::string_view name) {
  const size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

}  // namespace

ModelParts::ModelParts(const Checkpoint& reference) : reference_(reference) {
  const size_t count = reference.tensors.size();
  stack_.assign(count, -1);
  tower_.assign(count, -1);
  buffer_.assign(count, false);
  const LayerCounts counts = CountLayers(reference);
  std::map<std::pair<std::string_view, bool>, int32_t> index;
  for (uint32_t t = 0; t < count; ++t) {
    const CheckpointTensor& tensor = reference.tensors[t];
    buffer_[t] = IsComputedBuffer(tensor.name, tensor.shape);
    const std::optional<LayerName> layer = ParseLayer(tensor.name);
    if (!layer.has_value()) continue;
    // Layers of buffers alone have no count.
    const auto layers = counts.find(layer->stack);
    const bool behind = layers == counts.end() || layer->layer >= layers->second;
    const auto [it, added] =
        index.try_emplace({layer->stack, behind}, static_cast<int32_t>(stacks_.size()));
    if (added) {
      stacks_.emplace_back(layer->stack);
      behind_.push_back(behind);
    }
    stack_[t] = it->second;
  }
  if (stacks_.size() <= kMaxStacks) FindTowers();
}

// From what stands right before the stack out to where an embedding is, or another stack.
std::string ModelParts::PrefixOf(size_t stack,
                                 const std::vector<std::string_view>& embeddings) const {
  const std::string own = absl::StrCat(stacks_[stack], ".");
  std::string_view prefix = Wider(own);
  const auto holds = [&](std::string_view outer) {
    return std::any_of(embeddings.begin(), embeddings.end(),
                       [&](std::string_view name) { return name.starts_with(outer); });
  };
  const auto shared = [&](std::string_view outer) {
    for (size_t other = 0; other < stacks_.size(); ++other) {
      if (other != stack && !behind_[other] && stacks_[other].starts_with(outer)) return true;
    }
    return false;
  };
  while (!prefix.empty() && !holds(prefix) && !shared(Wider(prefix))) prefix = Wider(prefix);
  return std::string(prefix);
}

void ModelParts::FindTowers() {
  std::vector<std::string_view> embeddings;
  for (size_t t = 0; t < stack_.size(); ++t) {
    const std::string& name = reference_.tensors[t].name;
    if (stack_[t] < 0 && !buffer_[t] && IsEmbedding(name)) embeddings.push_back(name);
  }
  for (uint32_t s = 0; s < stacks_.size(); ++s) {
    // No name begins so.
    std::string prefix =
        behind_[s] ? absl::StrCat(stacks_[s], " behind.") : PrefixOf(s, embeddings);
    const auto same = std::find_if(towers_.begin(), towers_.end(),
                                   [&](const Tower& tower) { return tower.prefix == prefix; });
    if (same == towers_.end()) {
      towers_.push_back({std::move(prefix), {s}});
    } else {
      same->stacks.push_back(s);
    }
  }
  for (size_t t = 0; t < stack_.size(); ++t) {
    for (int32_t i = 0; i < static_cast<int32_t>(towers_.size()); ++i) {
      const Tower& tower = towers_[static_cast<size_t>(i)];
      const bool own = std::find(tower.stacks.begin(), tower.stacks.end(),
                                 static_cast<uint32_t>(stack_[t])) != tower.stacks.end();
      if (stack_[t] >= 0) {
        if (own) tower_[t] = i;
        continue;
      }
      if (!reference_.tensors[t].name.starts_with(tower.prefix)) continue;
      if (tower_[t] < 0 ||
          tower.prefix.size() > towers_[static_cast<size_t>(tower_[t])].prefix.size()) {
        tower_[t] = i;
      }
    }
  }
}

ModelParts::Module ModelParts::Look(std::string_view module) const {
  Module found;
  const std::string prefix = absl::StrCat(std::string(module), ".");
  for (auto it = reference_.by_name.lower_bound(prefix);
       it != reference_.by_name.end() && it->first.starts_with(prefix); ++it) {
    const CheckpointTensor& tensor = reference_.tensors[it->second];
    found.matrix = found.matrix || tensor.shape.size() >= 2;
    found.embedding = found.embedding || IsEmbedding(tensor.name);
  }
  return found;
}

// Of a tensor outside of layers, in no tower that is lacking.
std::string ModelParts::JudgeOutside(uint32_t t, const std::vector<bool>& lacks, bool loose,
                                     std::map<std::string, bool>& looked) const {
  const std::string& name = reference_.tensors[t].name;
  const auto all_lacking = [&](std::string_view module) {
    const std::string prefix = absl::StrCat(std::string(module), ".");
    const auto [known, added] = looked.try_emplace(prefix, true);
    if (!added) return known->second;
    for (auto it = reference_.by_name.lower_bound(prefix);
         it != reference_.by_name.end() && it->first.starts_with(prefix); ++it) {
      if (lacks[it->second] || buffer_[it->second]) continue;
      known->second = false;
      break;
    }
    return known->second;
  };
  // The widest module of which the model has nothing.
  std::string_view module;
  for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
    if (all_lacking(std::string_view(name).substr(0, dot))) {
      module = std::string_view(name).substr(0, dot);
      break;
    }
  }
  const size_t dot = name.rfind('.');
  if (module.empty() && dot != std::string::npos) {
    return absl::StrCat("; the model has other tensors of ", Quoted(name.substr(0, dot)),
                        ": it may be damaged");
  }
  if (!module.empty() && IsNumber(LastPart(module))) {
    return absl::StrCat("; the model has others beside ", Quoted(module), ": it may be damaged");
  }
  if (!loose) {
    return "; the model is of the same class and lacks no whole tower: it may be damaged";
  }
  const Module found = module.empty() ? Module{} : Look(module);
  if (EndsInComponent(name, "shared.weight") || (tower_[t] >= 0 && found.embedding)) {
    return "; a model does not work without its embedding: it may be damaged";
  }
  if (tower_[t] >= 0 && !found.matrix) {
    return absl::StrCat("; the model has the layers that ", Quoted(module.empty() ? name : module),
                        " belongs to: it may be damaged");
  }
  return "";
}

PartsJudgement ModelParts::Judge(const std::vector<bool>& lacks, const std::vector<bool>& forgiven,
                                 bool other_class) const {
  PartsJudgement judgement;
  const size_t count = reference_.tensors.size();
  judgement.reasons.resize(count);
  std::vector<bool> absent(towers_.size(), true);
  std::vector<bool> whole(stacks_.size(), true);
  size_t lacking = 0;
  for (size_t t = 0; t < count; ++t) {
    if (buffer_[t]) continue;
    lacking += lacks[t];
    if (!lacks[t] && (stack_[t] >= 0 || stacks_.empty())) judgement.touches = true;
    if (!lacks[t] && tower_[t] >= 0) absent[static_cast<size_t>(tower_[t])] = false;
    if (lacks[t] && !forgiven[t] && stack_[t] >= 0) whole[static_cast<size_t>(stack_[t])] = false;
  }
  judgement.shares = stacks_.empty() ? 2 * lacking <= count
                                     : std::find(whole.begin(), whole.end(), true) != whole.end();
  const bool loose = other_class || std::find(absent.begin(), absent.end(), true) != absent.end();
  std::map<std::string, bool> looked;
  for (uint32_t t = 0; t < count; ++t) {
    if (!lacks[t] || forgiven[t] || buffer_[t]) continue;
    if (tower_[t] >= 0 && absent[static_cast<size_t>(tower_[t])]) continue;
    judgement.reasons[t] =
        stack_[t] >= 0
            ? absl::StrCat(
                  "; the model has other tensors of these layers or of what "
                  "belongs to them (",
                  Quoted(stacks_[static_cast<size_t>(stack_[t])]), "): it may be damaged")
            : JudgeOutside(t, lacks, loose, looked);
  }
  return judgement;
}

}  // namespace merganser
