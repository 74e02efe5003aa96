// What adapter_config.json of PEFT says of an adapter, as far as its deltas depend on it.
#ifndef MERGANSER_COMMON_CHECKPOINT_ADAPTER_CONFIG_H_
#define MERGANSER_COMMON_CHECKPOINT_ADAPTER_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/checkpoint/module_patterns.h"

namespace merganser {

inline constexpr char kAdapterConfigFile[] = "adapter_config.json";
inline constexpr char kAdapterWeightsFile[] = "adapter_model.safetensors";

// Names of modules, or an expression that fits all of a name.
struct ModuleChoice {
  std::vector<std::string> names;
  std::optional<ModulePattern> pattern;

  bool empty() const { return names.empty() && !pattern.has_value(); }
  // The one that chooses `module`: it is its name, or what the name ends in behind a '.'; null
  // where none does. Of a pattern: its text.
  const std::string* Find(std::string_view module) const;
};

struct AdapterConfig {
  std::string base_model;  // base_model_name_or_path; may be empty
  uint64_t rank = 8;       // r
  double alpha = 8;        // lora_alpha
  // Of modules that these fit, in this order; others have the two above.
  std::vector<std::pair<ModulePattern, uint64_t>> rank_pattern;
  std::vector<std::pair<ModulePattern, double>> alpha_pattern;
  bool rslora = false;          // use_rslora
  bool fan_in_fan_out = false;  // matrices are stored [in, out]
  bool dora = false;            // use_dora
  bool lora_bias = false;
  bool biases = false;          // bias: biases were trained, of some modules or all
  ModuleChoice target_modules;  // empty: not said, or all of a kind
  ModuleChoice exclude_modules;
  std::vector<std::string> target_parameters;
  std::vector<std::string> modules_to_save;
  std::vector<uint64_t> layers;  // layers_to_transform; empty: all
  std::vector<std::string> layers_pattern;

  uint64_t RankOf(std::string_view module) const;
  double AlphaOf(std::string_view module) const;
  // lora_alpha / r of the module, or by the square root of r.
  double ScaleOf(std::string_view module) const;
};

// kInvalidArgument, "key 'KEY': ...", for a key that changes deltas in a way that is not supported
// or not understood, with what to do; kDataLoss for text that is no such file. Keys that change
// nothing, and unknown ones that hold nothing (null, false, empty), are passed over.
absl::StatusOr<AdapterConfig> ParseAdapterConfig(std::string_view text);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_ADAPTER_CONFIG_H_
