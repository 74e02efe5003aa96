// adapter_config.json and the names of an adapter's tensors, as PEFT writes and reads them.
#ifndef MERGANSER_COMMON_ADAPTERS_LORA_CONFIG_H_
#define MERGANSER_COMMON_ADAPTERS_LORA_CONFIG_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/adapters/lora_targets.h"

namespace merganser {

inline constexpr char kAdapterConfigKey[] = "adapter_config.json";
inline constexpr char kAdapterWeightsKey[] = "adapter_model.safetensors";

struct LoraModule {
  std::string module;
  LoraLayer layer = LoraLayer::kLinear;
  uint64_t rank = 0;
};

struct LoraConfig {
  std::string base;          // base_model_name_or_path
  std::string architecture;  // the base's; tells PEFT's task_type where it is a language model's
  std::vector<LoraModule> modules;
  std::vector<std::string> others;  // modules of the base that are no targets
  std::vector<std::string> saved;   // modules_to_save
};

// Every product has the scale 1: lora_alpha is r, and alpha_pattern is rank_pattern, which have the
// modules whose rank is not the most common one. target_modules has whole names; what would match
// one by its end alone is in exclude_modules.
std::string LoraConfigJson(const LoraConfig& config);

// "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"; of `module` the A or the B factor.
std::string LoraKey(std::string_view module, LoraLayer layer, bool is_a);
// Of a tensor of a module in modules_to_save.
std::string SavedKey(std::string_view tensor);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ADAPTERS_LORA_CONFIG_H_
