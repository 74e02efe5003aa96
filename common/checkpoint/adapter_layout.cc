#include "common/checkpoint/adapter_layout.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/layers.h"

namespace merganser {
namespace {

// Classes of transformers whose layers are Conv1D, and what these are called.
constexpr std::string_view kConv1DTypes[] = {"gpt2", "openai-gpt", "imagegpt",
                                             "decision_transformer"};
constexpr std::string_view kConv1DNames[] = {"c_attn", "c_proj", "c_fc", "q_attn"};
// Those whose experts' parameters are [experts, in, out] (`is_transposed`).
constexpr std::string_view kTransposedExperts[] = {"gpt_oss", "aria", "aria_text",
                                                   "openai_privacy_filter"};

template <size_t N>
bool In(const std::string_view (&words)[N], std::string_view word) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

std::string_view LastName(std::string_view module) {
  const size_t dot = module.rfind('.');
  return dot == std::string_view::npos ? module : module.substr(dot + 1);
}

}  // namespace

AdapterLayouts::AdapterLayouts(std::string_view model_type, const AdapterConfig& config,
                               const AdapterContents& contents,
                               const std::vector<std::string>& parameters,
                               const AdapterTargets& targets)
    : model_type_(model_type), fan_in_fan_out_(config.fan_in_fan_out) {
  for (size_t m = 0; m < contents.modules.size(); ++m) {
    const AdapterModule& module = contents.modules[m];
    // Heads are of another class than layers.
    if (module.embedding || !ParseLayer(absl::StrCat(module.name, ".x")).has_value()) continue;
    const CheckpointTensor* tensor = targets.Find(
        absl::StrCat(module.name, ".", parameters[m].empty() ? "weight" : parameters[m]));
    if (tensor == nullptr) continue;
    const FactorLayouts fit =
        LayoutsThatFit(tensor->shape, module.a->shape, module.b->shape, /*embedding=*/false);
    if (!fit.first.has_value() || fit.second.has_value()) continue;
    linear_.plain = linear_.plain || fit.first == FactorLayout::kOutIn;
    linear_.turned = linear_.turned || fit.first == FactorLayout::kInOut;
    experts_.plain = experts_.plain || fit.first == FactorLayout::kExpertsOutIn;
    experts_.turned = experts_.turned || fit.first == FactorLayout::kExpertsInOut;
  }
}

std::optional<FactorLayout> AdapterLayouts::Choose(const AdapterModule& module,
                                                   const FactorLayouts& fit) const {
  if (!fit.second.has_value()) return fit.first;
  const bool experts = fit.first == FactorLayout::kExpertsOutIn;
  const Seen& seen = experts ? experts_ : linear_;
  const bool by_class =
      experts ? In(kTransposedExperts, model_type_)
              : In(kConv1DTypes, model_type_) && In(kConv1DNames, LastName(module.name));
  if (by_class) return fit.second;
  if (seen.plain != seen.turned) return seen.turned ? fit.second : fit.first;
  if (experts) return std::nullopt;
  // Of a known class the file's word is no more than what PEFT made of the last layer.
  return fan_in_fan_out_ && model_type_.empty() ? fit.second : fit.first;
}

}  // namespace merganser
