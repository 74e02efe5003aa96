#include "common/checkpoint/adapter_hints.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/checkpoint/layers.h"
#include "common/checkpoint/name_patterns.h"
#include "common/format/text.h"

namespace merganser {
namespace {

bool IsNumber(std::string_view part) {
  return !part.empty() && std::all_of(part.begin(), part.end(), [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c));
  });
}

// The experts of "a.experts.3.w1.weight": "a.experts."; empty where it is of none.
std::string_view ExpertsOf(std::string_view name) {
  constexpr std::string_view kExperts = ".experts.";
  const size_t at = name.find(kExperts);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = name.substr(at + kExperts.size());
  return IsNumber(rest.substr(0, rest.find('.'))) ? name.substr(0, at + kExperts.size())
                                                  : std::string_view();
}

}  // namespace

std::string WhyNoTensor(const Checkpoint& base, std::string_view name) {
  if (const std::string_view experts = ExpertsOf(name); !experts.empty()) {
    for (const CheckpointTensor& tensor : base.tensors) {
      if (!tensor.name.starts_with(experts) || tensor.shape.size() != 3) continue;
      return absl::StrCat(
          ": the base packs its experts (", Quoted(tensor.name),
          "), and the adapter has factors of each, which is not supported by this version; name a "
          "base with one tensor an expert, or merge the adapter into its base with PEFT's "
          "merge_and_unload(), and name the result");
    }
  }
  const NameParts parts = SplitName(name);
  if (parts.size() >= 2 && (parts[parts.size() - 2] == "score" || parts[0] == "classifier" ||
                            parts[0] == "v_head" || parts[0] == "qa_outputs")) {
    return ": a head that the base does not have; name the base with this head, or take its "
           "tensors out of the adapter";
  }
  const std::optional<LayerName> layer = ParseLayer(name);
  if (layer.has_value()) {
    uint64_t most = 0;
    for (const auto& [stack, count] : CountLayers(base)) most = std::max(most, count);
    if (layer->layer >= most) {
      return absl::StrCat(": the base has ", most,
                          " layers; is it the one that the adapter was trained on?");
    }
  }
  return ": is it the base that the adapter was trained on?";
}

}  // namespace merganser
