// Sources: PEFT 0.21 (LoraConfig, get_pattern_key, check_target_module_exists).
#include "common/checkpoint/adapter_config.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/edit_distance.h"
#include "common/base/status.h"
#include "common/checkpoint/json_tree.h"
#include "common/format/text.h"

namespace merganser {
namespace {

using Kind = JsonNode::Kind;

constexpr uint64_t kMaxRank = uint64_t{1} << 20;

// Read by Reader::Read.
constexpr std::string_view kTaken[] = {"alpha_pattern",
                                       "base_model_name_or_path",
                                       "bias",
                                       "exclude_modules",
                                       "fan_in_fan_out",
                                       "init_lora_weights",
                                       "layers_pattern",
                                       "layers_to_transform",
                                       "lora_alpha",
                                       "lora_bias",
                                       "modules_to_save",
                                       "peft_type",
                                       "r",
                                       "rank_pattern",
                                       "target_modules",
                                       "target_parameters",
                                       "use_dora",
                                       "use_rslora"};

// What trained, ran or named it, whatever it says: no delta depends on it. Of initialisations it
// is `init_lora_weights` that counts; the last three are ms-swift's.
constexpr std::string_view kWithoutEffect[] = {
    "auto_mapping",      "corda_config",  "eva_config",     "inference_mode", "lora_dropout",
    "lora_ga_config",    "loftq_config",  "megatron_core",  "merge_weights",  "peft_version",
    "qalora_group_size", "revision",      "runtime_config", "task_type",      "lora_dtype",
    "lorap_emb_lr",      "lorap_lr_ratio"};

struct Refused {
  std::string_view key, why;
};
constexpr Refused kRefused[] = {
    {"alora_invocation_tokens",
     "aLoRA, which acts on the tokens behind an invocation alone: such an adapter is no change of "
     "weights; use it with PEFT, without merging"},
    {"alora_invocation_string",
     "aLoRA, which acts on the tokens behind an invocation alone: such an adapter is no change of "
     "weights; use it with PEFT, without merging"},
    {"arrow_config",
     "Arrow, which chooses among adapters token by token: such an adapter is no change of weights; "
     "use it with PEFT, without merging"},
    {"ensure_weight_tying",
     "adapters of embedding and head that are one: not supported by this version; merge it into "
     "its base with PEFT's merge_and_unload() and name the result"},
    {"kasa_config",
     "KaSA, which cuts the base's own spectrum: not supported by this version; merge it into its "
     "base with PEFT's merge_and_unload() and name the result"},
    {"layer_replication",
     "layers that are there several times: not supported by this version; merge it into its base "
     "with PEFT's merge_and_unload() and name the result"},
    {"megatron_config",
     "layers of Megatron: not supported by this version; export the adapter to PEFT's format with "
     "the program that trained it"},
    {"monteclora_config",
     "MonteCLoRA: not supported by this version; merge it into its base with PEFT's "
     "merge_and_unload() and name the result"},
    {"trainable_token_indices",
     "single rows of the embedding: not supported by this version; merge it into its base with "
     "PEFT's merge_and_unload() and name the result"},
    {"use_bdlora",
     "BD-LoRA: not supported by this version; merge it into its base with PEFT's "
     "merge_and_unload() and name the result"},
    {"use_qalora",
     "QA-LoRA, whose factors are of pooled columns: not supported by this version; merge it into "
     "its base with the program that trained it and name the result"},
    {"velora_config",
     "VeLoRA: not supported by this version; merge it into its base with PEFT's merge_and_unload() "
     "and name the result"},
};

template <size_t N>
bool In(const std::string_view (&words)[N], std::string_view word) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

bool EndsInName(std::string_view module, std::string_view name) {
  if (!module.ends_with(name)) return false;
  return module.size() == name.size() || module[module.size() - name.size() - 1] == '.';
}

class Reader {
 public:
  explicit Reader(const JsonNode& root) : root_(root) {}

  absl::StatusOr<AdapterConfig> Read() {
    if (root_.kind != Kind::kObject) {
      return absl::DataLossError(
          absl::StrCat("is ", root_.Describe(), ", expected an object with peft_type and r"));
    }
    MERGANSER_RETURN_IF_ERROR(CheckType());
    for (const auto& [key, value] : root_.members) {
      MERGANSER_RETURN_IF_ERROR(CheckKey(key, value));
    }
    MERGANSER_RETURN_IF_ERROR(CheckInit());
    MERGANSER_RETURN_IF_ERROR(Text("base_model_name_or_path", config_.base_model));
    MERGANSER_RETURN_IF_ERROR(Rank("r", Find("r"), config_.rank));
    MERGANSER_RETURN_IF_ERROR(Number("lora_alpha", Find("lora_alpha"), config_.alpha));
    MERGANSER_RETURN_IF_ERROR(Patterns());
    MERGANSER_RETURN_IF_ERROR(Flag("use_rslora", config_.rslora));
    MERGANSER_RETURN_IF_ERROR(Flag("fan_in_fan_out", config_.fan_in_fan_out));
    MERGANSER_RETURN_IF_ERROR(Flag("use_dora", config_.dora));
    MERGANSER_RETURN_IF_ERROR(Flag("lora_bias", config_.lora_bias));
    MERGANSER_RETURN_IF_ERROR(Bias());
    MERGANSER_RETURN_IF_ERROR(Choice("target_modules", config_.target_modules));
    MERGANSER_RETURN_IF_ERROR(Choice("exclude_modules", config_.exclude_modules));
    MERGANSER_RETURN_IF_ERROR(Names("target_parameters", config_.target_parameters));
    MERGANSER_RETURN_IF_ERROR(Names("modules_to_save", config_.modules_to_save));
    MERGANSER_RETURN_IF_ERROR(Names("layers_pattern", config_.layers_pattern));
    MERGANSER_RETURN_IF_ERROR(Layers());
    return std::move(config_);
  }

 private:
  static absl::Status Wrong(std::string_view key, const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat("key '", std::string(key), "': ", what));
  }
  static absl::Status Unlike(std::string_view key, const JsonNode& found,
                             std::string_view expected) {
    return Wrong(key,
                 absl::StrCat("found ", found.Describe(), ", expected ", std::string(expected)));
  }

  // null where it is not there, or null.
  const JsonNode* Find(std::string_view key) const {
    for (const auto& [name, value] : root_.members) {
      if (name == key) return value.kind == Kind::kNull ? nullptr : &value;
    }
    return nullptr;
  }

  absl::Status CheckType() const {
    const JsonNode* type = Find("peft_type");
    if (type == nullptr) {
      return Wrong("peft_type", "missing, expected \"LORA\": is this the file of an adapter?");
    }
    if (type->kind == Kind::kString && type->text == "LORA") return absl::OkStatus();
    const bool mixed = type->kind == Kind::kString && type->text == "XLORA";
    return Wrong(
        "peft_type",
        absl::StrCat("found ", type->Describe(),
                     mixed ? " (X-LoRA), which chooses among adapters token by token: such "
                             "an adapter is no change of weights; use it with PEFT"
                           : ", which is not supported by this version; expected \"LORA\": "
                             "merge it into its base with PEFT's merge_and_unload(), and "
                             "name the result"));
  }

  absl::Status CheckKey(const std::string& key, const JsonNode& value) const {
    if (In(kTaken, key) || In(kWithoutEffect, key) || value.says_nothing()) {
      return absl::OkStatus();
    }
    for (const Refused& refused : kRefused) {
      if (refused.key == key) {
        return Wrong(key, absl::StrCat("found ", value.Describe(), ": ", std::string(refused.why)));
      }
    }
    std::string_view nearest;
    for (const std::string_view taken : kTaken) {
      if (key.size() < 64 && EditDistance(key, taken) <= 2) nearest = taken;
    }
    return Wrong(
        Quoted(key).substr(1, Quoted(key).size() - 2),
        absl::StrCat("found ", value.Describe(),
                     ", a key that this version does not know and that may change what "
                     "the adapter does; ",
                     nearest.empty() ? std::string("if it does not, take it out of the file; else "
                                                   "merge the adapter into its base with PEFT's "
                                                   "merge_and_unload(), and name the result")
                                     : absl::StrCat("did you mean '", std::string(nearest), "'?")));
  }

  // Initialisations that take something out of the base when training begins.
  absl::Status CheckInit() const {
    const JsonNode* init = Find("init_lora_weights");
    if (init == nullptr || init->kind == Kind::kBool) return absl::OkStatus();
    if (init->kind != Kind::kString) {
      return Unlike("init_lora_weights", *init, "true, false or a name");
    }
    const std::string name = absl::AsciiStrToLower(init->text);
    for (const std::string_view harmless :
         {"gaussian", "eva", "orthogonal", "mica", "true", "false"}) {
      if (name == harmless) return absl::OkStatus();
    }
    if (name == "loftq") {
      return Wrong(
          "init_lora_weights",
          "found 'loftq', which changed the base when training began: the adapter belongs "
          "to that quantised base; merge it there with PEFT's merge_and_unload(), and name "
          "the result");
    }
    for (const std::string_view changing : {"pissa", "olora", "corda", "lora_ga"}) {
      if (!name.starts_with(changing)) continue;
      return Wrong(
          "init_lora_weights",
          absl::StrCat("found ", Quoted(init->text),
                       ", which changed the base when training began, so that the adapter does not "
                       "fit the base as it is: convert it with PEFT's save_pretrained(..., "
                       "path_initial_model_for_weight_conversion=...), given the adapter as it was "
                       "before training, and name the result"));
    }
    return Wrong("init_lora_weights",
                 absl::StrCat("found ", Quoted(init->text),
                              ", an initialisation that this version does not know and that may "
                              "have changed the base; if it did not, write true"));
  }

  absl::Status Text(std::string_view key, std::string& out) const {
    const JsonNode* value = Find(key);
    if (value == nullptr) return absl::OkStatus();
    if (value->kind != Kind::kString) return Unlike(key, *value, "a string");
    out = value->text;
    return absl::OkStatus();
  }

  absl::Status Flag(std::string_view key, bool& out) const {
    const JsonNode* value = Find(key);
    if (value == nullptr) return absl::OkStatus();
    if (value->kind != Kind::kBool) return Unlike(key, *value, "true or false");
    out = value->boolean;
    return absl::OkStatus();
  }

  static absl::Status Rank(std::string_view key, const JsonNode* value, uint64_t& out) {
    if (value == nullptr) return absl::OkStatus();
    if (value->kind != Kind::kUnsigned || value->whole == 0 || value->whole > kMaxRank) {
      return Unlike(key, *value, "a rank: a whole number above 0");
    }
    out = value->whole;
    return absl::OkStatus();
  }

  static absl::Status Number(std::string_view key, const JsonNode* value, double& out) {
    if (value == nullptr) return absl::OkStatus();
    const bool number = value->kind == Kind::kUnsigned || value->kind == Kind::kNumber;
    if (!number || !std::isfinite(value->number)) return Unlike(key, *value, "a number");
    out = value->number;
    return absl::OkStatus();
  }

  template <typename Value, typename Take>
  absl::Status PatternsOf(std::string_view key, std::vector<std::pair<ModulePattern, Value>>& out,
                          const Take& take) const {
    const JsonNode* map = Find(key);
    if (map == nullptr) return absl::OkStatus();
    if (map->kind != Kind::kObject) return Unlike(key, *map, "an object of names");
    for (const auto& [name, value] : map->members) {
      absl::StatusOr<ModulePattern> pattern = ModulePattern::Parse(name);
      if (!pattern.ok()) return Wrong(key, std::string(pattern.status().message()));
      Value number{};
      const std::string place =
          absl::StrCat(std::string(key), ".", Quoted(name).substr(1, Quoted(name).size() - 2));
      if (value.kind == Kind::kNull) return Unlike(place, value, "a number");
      MERGANSER_RETURN_IF_ERROR(take(place, &value, number));
      out.emplace_back(*std::move(pattern), number);
    }
    return absl::OkStatus();
  }
  absl::Status Patterns() {
    MERGANSER_RETURN_IF_ERROR(PatternsOf("rank_pattern", config_.rank_pattern, Rank));
    return PatternsOf("alpha_pattern", config_.alpha_pattern, Number);
  }

  absl::Status Bias() {
    std::string bias = "none";
    MERGANSER_RETURN_IF_ERROR(Text("bias", bias));
    if (bias != "none" && bias != "all" && bias != "lora_only") {
      return Wrong("bias",
                   absl::StrCat("found ", Quoted(bias), ", expected none, all or lora_only"));
    }
    config_.biases = bias != "none";
    return absl::OkStatus();
  }

  absl::Status Names(std::string_view key, std::vector<std::string>& out) const {
    const JsonNode* value = Find(key);
    if (value == nullptr || value->says_nothing()) return absl::OkStatus();
    if (value->kind == Kind::kString) {
      out.push_back(value->text);
      return absl::OkStatus();
    }
    if (value->kind != Kind::kArray) return Unlike(key, *value, "a list of names");
    for (const JsonNode& item : value->items) {
      if (item.kind != Kind::kString || item.text.empty()) return Unlike(key, item, "a name");
      out.push_back(item.text);
    }
    return absl::OkStatus();
  }

  // A string is an expression, but for "all-linear", which names no module.
  absl::Status Choice(std::string_view key, ModuleChoice& out) const {
    const JsonNode* value = Find(key);
    if (value == nullptr || value->kind != Kind::kString) return Names(key, out.names);
    if (value->text.empty() || value->text == "all-linear") return absl::OkStatus();
    absl::StatusOr<ModulePattern> pattern = ModulePattern::Parse(value->text);
    if (!pattern.ok()) return Wrong(key, std::string(pattern.status().message()));
    out.pattern = *std::move(pattern);
    return absl::OkStatus();
  }

  absl::Status Layers() {
    constexpr std::string_view kKey = "layers_to_transform";
    const JsonNode* value = Find(kKey);
    if (value == nullptr) return absl::OkStatus();
    if (value->kind == Kind::kUnsigned) {
      config_.layers.push_back(value->whole);
      return absl::OkStatus();
    }
    if (value->kind != Kind::kArray) return Unlike(kKey, *value, "a list of layers' numbers");
    for (const JsonNode& item : value->items) {
      if (item.kind != Kind::kUnsigned) return Unlike(kKey, item, "a layer's number");
      config_.layers.push_back(item.whole);
    }
    return absl::OkStatus();
  }

  const JsonNode& root_;
  AdapterConfig config_;
};

}  // namespace

const std::string* ModuleChoice::Find(std::string_view module) const {
  if (pattern.has_value()) return pattern->FitsAll(module) ? &pattern->text() : nullptr;
  const auto found = std::find_if(names.begin(), names.end(), [&](const std::string& name) {
    return EndsInName(module, name);
  });
  return found == names.end() ? nullptr : &*found;
}

uint64_t AdapterConfig::RankOf(std::string_view module) const {
  for (const auto& [pattern, value] : rank_pattern) {
    if (pattern.FitsEnd(module)) return value;
  }
  return rank;
}

double AdapterConfig::AlphaOf(std::string_view module) const {
  for (const auto& [pattern, value] : alpha_pattern) {
    if (pattern.FitsEnd(module)) return value;
  }
  return alpha;
}

double AdapterConfig::ScaleOf(std::string_view module) const {
  const auto ranks = static_cast<double>(RankOf(module));
  return AlphaOf(module) / (rslora ? std::sqrt(ranks) : ranks);
}

absl::StatusOr<AdapterConfig> ParseAdapterConfig(std::string_view text) {
  MERGANSER_ASSIGN_OR_RETURN(const JsonNode root, ParseJsonTree(text));
  return Reader(root).Read();
}

}  // namespace merganser
