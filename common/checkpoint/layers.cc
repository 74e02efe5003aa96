#include "common/checkpoint/layers.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/names.h"

namespace merganser {
namespace {

constexpr std::string_view kStacks[] = {"layers", "h", "blocks", "layer", "block"};
constexpr size_t kMaxDigits = 9;

bool IsStack(std::string_view component) {
  return std::find(std::begin(kStacks), std::end(kStacks), component) != std::end(kStacks);
}

// Without leading zeros: WithLayer would not bring those back.
std::optional<uint64_t> ParseNumber(std::string_view text) {
  if (text.empty() || text.size() > kMaxDigits || (text[0] == '0' && text.size() > 1)) return {};
  uint64_t number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return {};
    number = number * 10 + static_cast<uint64_t>(c - '0');
  }
  return number;
}

bool HasComponent(std::string_view name, std::string_view component) {
  for (size_t at = name.find(component); at != std::string_view::npos;
       at = name.find(component, at + 1)) {
    const size_t end = at + component.size();
    if ((at == 0 || name[at - 1] == '.') && (end == name.size() || name[end] == '.')) return true;
  }
  return false;
}

}  // namespace

std::optional<LayerName> ParseLayer(std::string_view name) {
  std::string_view previous;
  for (size_t begin = 0; begin < name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    const std::string_view component = name.substr(begin, end - begin);
    if (IsStack(previous)) {
      if (const std::optional<uint64_t> number = ParseNumber(component)) {
        return LayerName{name.substr(0, begin - 1), *number, begin, end};
      }
    }
    previous = component;
    begin = end + 1;
  }
  return std::nullopt;
}

std::string WithLayer(std::string_view name, uint64_t layer) {
  const std::optional<LayerName> parsed = ParseLayer(name);
  if (!parsed.has_value()) return std::string(name);
  return absl::StrCat(std::string(name.substr(0, parsed->begin)), layer,
                      std::string(name.substr(parsed->end)));
}

LayerCounts CountLayers(const Checkpoint& model) {
  LayerCounts counts;
  for (const CheckpointTensor& tensor : model.tensors) {
    const std::optional<LayerName> parsed = ParseLayer(tensor.name);
    // Layers of which loading computes all that is stored are none.
    if (!parsed.has_value() || IsComputedBuffer(tensor.name, tensor.shape)) continue;
    auto it = counts.find(parsed->stack);
    if (it == counts.end()) it = counts.emplace(std::string(parsed->stack), 0).first;
    it->second = std::max(it->second, parsed->layer + 1);
  }
  const ModelConfig& config = model.config;
  if (config.layers.has_value()) {
    for (auto& [stack, count] : counts) {
      if (count > *config.layers && count <= *config.layers + config.next_token_layers) {
        count = *config.layers;
      }
    }
  }
  return counts;
}

bool IsBeforeLayers(std::string_view name) {
  if (HasComponent(name, "embed_out")) return false;  // GPT-NeoX's head
  return name.find("emb") != std::string_view::npos || HasComponent(name, "wte") ||
         HasComponent(name, "wpe");
}

}  // namespace merganser
