#include "common/adapters/lora_config.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace merganser {
namespace {

using Json = nlohmann::ordered_json;
using Names = std::set<std::string_view, std::less<>>;

constexpr std::string_view kPrefix = "base_model.model.";

// Whether a shorter one of `names` is the end of `module`.
bool EndsLikeAnother(std::string_view module, const Names& names) {
  for (size_t dot = module.find('.'); dot != std::string_view::npos;
       dot = module.find('.', dot + 1)) {
    if (names.contains(module.substr(dot + 1))) return true;
  }
  return false;
}

// The most common rank, of equally common ones the largest.
uint64_t CommonRank(const std::vector<LoraModule>& modules) {
  std::map<uint64_t, size_t> counts;
  for (const LoraModule& module : modules) ++counts[module.rank];
  std::pair<size_t, uint64_t> best;
  for (const auto& [rank, count] : counts) best = std::max(best, std::pair(count, rank));
  return best.second;
}

// PEFT takes the first key of a pattern that the module's name ends with. A name that is also the
// end of another's is held to the beginning.
Json Pattern(const std::vector<LoraModule>& modules, uint64_t common) {
  Names names, ends;
  for (const LoraModule& module : modules) names.insert(module.module);
  for (const LoraModule& module : modules) {
    const std::string_view text = module.module;
    for (size_t dot = text.find('.'); dot != std::string_view::npos;
         dot = text.find('.', dot + 1)) {
      if (const auto end = names.find(text.substr(dot + 1)); end != names.end()) ends.insert(*end);
    }
  }
  Json pattern = Json::object();
  for (const LoraModule& module : modules) {
    if (module.rank == common) continue;
    const bool also_an_end = ends.contains(module.module);
    pattern[absl::StrCat(also_an_end ? "^" : "", module.module)] = module.rank;
  }
  return pattern;
}

}  // namespace

std::string LoraKey(std::string_view module, LoraLayer layer, bool is_a) {
  const std::string_view factor = layer == LoraLayer::kEmbedding
                                      ? (is_a ? ".lora_embedding_A" : ".lora_embedding_B")
                                      : (is_a ? ".lora_A.weight" : ".lora_B.weight");
  return absl::StrCat(std::string(kPrefix), std::string(module), std::string(factor));
}

std::string SavedKey(std::string_view tensor) {
  return absl::StrCat(std::string(kPrefix), std::string(tensor));
}

std::string LoraConfigJson(const LoraConfig& config) {
  const uint64_t rank = CommonRank(config.modules);
  Names names;
  for (const LoraModule& module : config.modules) names.insert(module.module);
  Json exclude;
  for (const std::string& other : config.others) {
    if (EndsLikeAnother(other, names)) exclude.push_back(other);
  }
  Json targets = Json::array();
  for (const LoraModule& module : config.modules) targets.push_back(module.module);
  const bool turned =
      !config.modules.empty() &&
      std::all_of(config.modules.begin(), config.modules.end(),
                  [](const LoraModule& module) { return module.layer == LoraLayer::kConv1D; });
  const bool causal =
      config.architecture.ends_with("ForCausalLM") || config.architecture.ends_with("LMHeadModel");
  const Json pattern = Pattern(config.modules, rank);
  const Json json = {{"peft_type", "LORA"},
                     {"task_type", causal ? Json("CAUSAL_LM") : Json(nullptr)},
                     {"base_model_name_or_path", config.base},
                     {"inference_mode", true},
                     {"r", rank},
                     {"lora_alpha", rank},
                     {"lora_dropout", 0.0},
                     {"bias", "none"},
                     {"fan_in_fan_out", turned},
                     {"init_lora_weights", true},
                     {"use_rslora", false},
                     {"use_dora", false},
                     {"target_modules", std::move(targets)},
                     {"exclude_modules", std::move(exclude)},
                     {"modules_to_save", config.saved.empty() ? Json(nullptr) : Json(config.saved)},
                     {"rank_pattern", pattern},
                     {"alpha_pattern", pattern}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace merganser
