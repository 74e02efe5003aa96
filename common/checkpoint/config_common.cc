#include "common/checkpoint/config_common.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/checkpoint/config_keys.h"
#include "common/checkpoint/layer_kind_rules.h"
#include "common/checkpoint/layer_kinds.h"

namespace merganser {
namespace {

std::vector<std::string_view> Split(std::string_view text, std::string_view by) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t at = text.find(by);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + by.size());
  }
}

std::string Join(std::string_view prefix, std::string_view key) {
  return absl::StrCat(std::string(prefix), std::string(key));
}

bool Is(const ConfigValues& values, const std::string& key, std::string_view value) {
  const auto found = values.find(key);
  return found != values.end() && found->second.value == value;
}

std::string ListText(const std::vector<std::string>& entries) {
  return absl::StrCat("[", absl::StrJoin(entries, ", "), "]");
}

// The entries of a list's text.
std::vector<std::string_view> Entries(std::string_view list) {
  if (list.size() < 2 || list.front() != '[') return {list};
  return Split(list.substr(1, list.size() - 2), ", ");
}

ConfigValues Relevant(const ConfigValues& file) {
  constexpr std::string_view kText = "text_config.";
  ConfigValues values;
  for (const auto& [path, value] : file) {
    const std::vector<std::string_view> parts = Split(path, ".");
    if (std::any_of(parts.begin(), parts.end(), IsIrrelevantKey)) continue;
    // Of both the nested one counts; "text_config." comes before no other key with its name.
    if (path.starts_with(kText)) {
      values[path.substr(kText.size())] = value;
    } else {
      values.try_emplace(path, value);
    }
  }
  return values;
}

ConfigValues UnderCommonNames(const ConfigValues& values) {
  ConfigValues common = values;
  for (const auto& [path, value] : values) {
    const std::string_view leaf = KeyLeaf(path);
    const std::string_view name = CommonKey(leaf);
    if (name == leaf) continue;
    const auto [there, added] = common.try_emplace(Join(KeyPrefix(path), name), value);
    if (added || there->second.value == value.value) common.erase(path);
  }
  return common;
}

// What rope_scaling holds beside its kind, where it is missing.
bool IsRopeDefault(std::string_view leaf, std::string_view value) {
  constexpr std::pair<std::string_view, std::string_view> kDefaults[] = {
      {"beta_fast", "32"}, {"beta_slow", "1"}, {"truncate", "true"}, {"rope_type", "default"}};
  return std::any_of(std::begin(kDefaults), std::end(kDefaults),
                     [&](const auto& one) { return one.first == leaf && one.second == value; });
}

std::string_view CommonRopeType(std::string_view type) {
  if (type == "mrope") return "default";  // the sections say so
  if (type == "su") return "longrope";
  return type;
}

// Puts one member of rope_scaling or rope_parameters, `rest` behind `prefix`, where it belongs;
// what scales is gathered in `scaling`.
void PlaceRope(std::string_view prefix, std::string_view rest, ConfigValue value,
               ConfigValues& common, std::map<std::string, ConfigValues>& scaling) {
  constexpr std::string_view kFull = "full_attention.", kSliding = "sliding_attention.";
  if (rest.starts_with(kFull)) rest.remove_prefix(kFull.size());
  if (rest == "sliding_attention.rope_theta") {
    common[Join(prefix, "rope_local_base_freq")] = std::move(value);
  } else if (rest == "rope_theta" || rest == "partial_rotary_factor") {
    common[Join(prefix, rest)] = std::move(value);
  } else {
    std::string_view leaf = KeyLeaf(rest);
    if (leaf == "type") leaf = "rope_type";
    if (leaf == "rope_type") value.value = std::string(CommonRopeType(value.value));
    if (IsRopeDefault(leaf, value.value) || rest == Join(kSliding, "type")) return;
    scaling[std::string(prefix)].try_emplace(Join(KeyPrefix(rest), leaf), std::move(value));
  }
}

ConfigValues WithOneRope(const ConfigValues& values) {
  ConfigValues common;
  std::map<std::string, ConfigValues> scaling;  // by prefix
  for (const auto& [path, value] : values) {
    bool placed = false;
    for (const std::string_view rope : {"rope_scaling.", "rope_parameters."}) {
      const size_t at = path.find(rope);
      if (at == std::string::npos || (at > 0 && path[at - 1] != '.')) continue;
      const std::string_view view(path);
      PlaceRope(view.substr(0, at), view.substr(at + rope.size()), value, common, scaling);
      placed = true;
    }
    if (!placed) common.try_emplace(path, value);
  }
  for (auto& [prefix, members] : scaling) {
    ConfigValue whole;
    std::vector<std::string> kinds, shown;
    const auto length = common.find(Join(prefix, "max_position_embeddings"));
    for (const auto& [leaf, member] : members) {
      // The length that is scaled, where it is missing.
      if (leaf == "original_max_position_embeddings" && length != common.end() &&
          length->second.value == member.value) {
        continue;
      }
      kinds.push_back(absl::StrCat(leaf, ": ", member.value));
      shown.push_back(absl::StrCat(leaf, ": ", member.shown));
      const size_t end = member.key.rfind(Join(".", KeyLeaf(member.key)));
      whole.key = member.key.substr(0, end);
    }
    if (kinds.empty()) continue;
    whole.value = absl::StrJoin(kinds, ", ");
    whole.shown = absl::StrCat("{", absl::StrJoin(shown, ", "), "}");
    common[Join(prefix, "rope_scaling")] = std::move(whole);
  }
  return common;
}

void SettleTokens(ConfigValues& values) {
  for (auto& [path, value] : values) {
    if (!KeyLeaf(path).ends_with("token_id")) continue;
    std::vector<std::string_view> entries = Entries(value.value);
    std::sort(entries.begin(), entries.end());
    std::string text;
    for (const std::string_view entry : entries) {
      absl::StrAppend(&text, text.empty() ? "" : ", ", std::string(entry));
    }
    value.value = text;
  }
}

// Gemma's first files said hidden_act of a function that the class did not use.
void SettleActivations(std::string_view model_type, ConfigValues& values) {
  for (auto& [path, value] : values) {
    const std::string_view leaf = KeyLeaf(path);
    if (leaf.ends_with("act") || leaf.ends_with("act_fn") || leaf.ends_with("activation")) {
      value.value = std::string(CommonActivation(value.value));
    }
  }
  if (!model_type.starts_with("gemma")) return;
  const auto own = values.find("hidden_activation");
  auto general = values.find("hidden_act");
  if (own != values.end()) {
    values["hidden_act"] = own->second;
    values.erase("hidden_activation");
    general = values.find("hidden_act");
  }
  if (general == values.end()) return;
  if (general->second.value == "gelu" || general->second.value == "gelu_pytorch_tanh") {
    values.erase(general);  // what the class takes
  }
}

void SettleWindows(std::string_view model_type, ConfigValues& values) {
  const bool flagged = values.contains("use_sliding_window") || model_type.starts_with("qwen2") ||
                       model_type.starts_with("qwen3");
  if (flagged && !Is(values, "use_sliding_window", "true")) {
    values.erase("sliding_window");
    values.erase("max_window_layers");
  }
}

// The lists of layers' kinds, whichever keys say them, in place of these keys.
void SettleKinds(std::string_view model_type, ConfigValues& values) {
  const auto types = values.find("layer_types");
  if (types != values.end() && types->second.value.starts_with('[')) {
    types->second.value = ListText(CommonKinds(types->second.value));
  }
  const uint64_t layers = WholeValue(values, "num_hidden_layers").value_or(0);
  bool by_class = false;  // what layer_types are where they are missing is known
  for (const LayerKinds& one : LayerKindsIn(model_type, values, layers)) {
    const std::string list(CommonKey(one.list));
    ConfigValue value;
    value.key = list;
    if (const auto said = values.find(CommonKey(one.key)); said != values.end()) {
      value = said->second;
    }
    value.value = ListText(one.kinds);
    values[list] = std::move(value);
    by_class |= list == "layer_types";
  }
  std::erase_if(values, [&](const auto& entry) {
    const std::string_view leaf = KeyLeaf(entry.first);
    const std::vector<std::string_view> lists = ListsInsteadOf(model_type, leaf);
    return std::any_of(lists.begin(), lists.end(),
                       [&](std::string_view list) { return values.contains(list); });
  });
  const auto full = values.find("layer_types");
  if (by_class || full == values.end()) return;
  const std::vector<std::string_view> entries = Entries(full->second.value);
  if (std::all_of(entries.begin(), entries.end(),
                  [](std::string_view entry) { return entry == "full_attention"; })) {
    values.erase(full);
  }
}

// Kimi-Linear's first files had these in an object of their own.
void SettleLinearAttention(std::string_view model_type, ConfigValues& values) {
  if (model_type != "kimi_linear") return;
  constexpr std::pair<std::string_view, std::string_view> kMoved[] = {
      {"linear_attn_config.head_dim", "linear_head_dim"},
      {"linear_attn_config.num_attention_heads", "linear_num_heads"},
      {"linear_attn_config.short_conv_kernel_size", "linear_conv_kernel_dim"}};
  for (const auto& [from, to] : kMoved) {
    const auto found = values.find(from);
    if (found == values.end()) continue;
    values[std::string(to)] = found->second;
    values.erase(found);
  }
}

std::string ModelType(const ConfigValues& file) {
  for (const char* key : {"text_config.model_type", "model_type"}) {
    const auto found = file.find(key);
    if (found != file.end()) return found->second.value;
  }
  return "";
}

}  // namespace

ConfigValues CommonConfigValues(const ConfigValues& file) {
  ConfigValues values = WithOneRope(UnderCommonNames(Relevant(file)));
  const std::string model_type = ModelType(file);
  SettleTokens(values);
  SettleActivations(model_type, values);
  SettleWindows(model_type, values);
  SettleKinds(model_type, values);
  SettleLinearAttention(model_type, values);
  return values;
}

}  // namespace merganser
