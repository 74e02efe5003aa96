#include "common/checkpoint/layer_kinds.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/checkpoint/config_values.h"
#include "common/checkpoint/layer_kind_rules.h"

namespace merganser {
namespace {

using How = LayerKindRule::How;

// No model has as many; files that are made up may say so.
constexpr uint64_t kMostLayers = 100000;

// Between what opens, closes and parts the text of a list.
std::vector<std::string> Words(std::string_view list) {
  std::vector<std::string> words;
  constexpr std::string_view kBetween = "[], ";
  for (size_t at = list.find_first_not_of(kBetween); at != std::string_view::npos;) {
    const size_t end = std::min(list.find_first_of(kBetween, at), list.size());
    words.emplace_back(list.substr(at, end - at));
    at = list.find_first_not_of(kBetween, end);
  }
  return words;
}

std::optional<uint64_t> Whole(std::string_view word) {
  if (word.empty() || word.size() > 9) return std::nullopt;
  uint64_t number = 0;
  for (const char c : word) {
    if (c < '0' || c > '9') return std::nullopt;
    number = 10 * number + static_cast<uint64_t>(c - '0');
  }
  return number;
}

bool HasWord(std::string_view words, std::string_view word) {
  for (size_t at = 0; at < words.size();) {
    const size_t end = std::min(words.find(' ', at), words.size());
    if (words.substr(at, end - at) == word) return true;
    at = end + 1;
  }
  return false;
}

class Finder {
 public:
  Finder(std::string_view model_type, const ConfigValues& values, uint64_t layers)
      : type_(WithoutTextSuffix(model_type)), values_(values), layers_(layers) {}

  std::vector<LayerKinds> Find() const {
    std::vector<LayerKinds> found;
    std::set<std::string_view> done;
    if (layers_ > kMostLayers) return found;
    for (const LayerKindRule& rule : LayerKindRules()) {
      const bool fits = rule.types == "*" ? !ReadsLayerNumbers(type_) : HasWord(rule.types, type_);
      if (!fits || !done.insert(rule.list).second) continue;
      LayerKinds kinds;
      kinds.list = std::string(rule.list);
      kinds.form = rule.form;
      if (Listed(rule, kinds) || Derived(rule, kinds)) found.push_back(std::move(kinds));
    }
    return found;
  }

 private:
  const ConfigValue* Value(std::string_view key) const {
    const auto found = key.empty() ? values_.end() : values_.find(key);
    return found == values_.end() ? nullptr : &found->second;
  }

  // One list has two names.
  std::string_view ListKey(std::string_view list) const {
    if (Value(list) == nullptr && (list == "layer_types" || list == "layers_block_type")) {
      return list == "layer_types" ? "layers_block_type" : "layer_types";
    }
    return list;
  }

  bool Listed(const LayerKindRule& rule, LayerKinds& kinds) const {
    const std::string_view key = ListKey(rule.list);
    const ConfigValue* value = Value(key);
    if (value == nullptr || !value->value.starts_with('[')) return false;
    kinds.key = std::string(key);
    if (rule.form == LayerKinds::Form::kNumbers) {
      return Marked(Words(value->value), 0, rule, kinds);
    }
    kinds.kinds = CommonKinds(value->value);
    // These classes take the one for the other.
    if (rule.on == "indexed_attention") {
      std::replace(kinds.kinds.begin(), kinds.kinds.end(), std::string("full_attention"),
                   std::string(rule.on));
    }
    return true;
  }

  bool Derived(const LayerKindRule& rule, LayerKinds& kinds) const {
    const ConfigValue* value = Value(rule.key);
    if (value != nullptr) kinds.key = std::string(rule.key);
    switch (rule.how) {
      case How::kLetters:
        return value != nullptr && Letters(value->value, kinds);
      case How::kRuns:
        return value != nullptr && Runs(value->value, kinds);
      case How::kAmong:
      case How::kAmongFrom1:
        return value != nullptr && value->value.starts_with('[') &&
               Marked(Words(value->value), rule.how == How::kAmong ? 0 : 1, rule, kinds);
      default:
        break;
    }
    if (layers_ == 0 || (value == nullptr && rule.number == LayerKindRule::kNone)) return false;
    const std::optional<uint64_t> told =
        value == nullptr ? std::optional(static_cast<uint64_t>(rule.number)) : Whole(value->value);
    if (!told.has_value()) return false;
    return Counted(rule, *told, kinds);
  }

  bool Counted(const LayerKindRule& rule, uint64_t n, LayerKinds& kinds) const {
    const bool count = rule.how == How::kBelow || rule.how == How::kNotBelow;
    if (!count && n == 0) return false;
    if (rule.types != "*") (count ? kinds.counted : kinds.periodic) = true;
    if (rule.how == How::kBelow) {
      // Which of the others have experts, it says further.
      const ConfigValue* more = Value("moe_layer_freq");
      if (more != nullptr && more->value != "1") return false;
    }
    if (rule.how == How::kNotBelow && !UsesWindow()) {
      kinds.key.clear();
      n = layers_;
    }
    if (type_.starts_with("exaone") && rule.key == "sliding_window_pattern" &&
        Value("sliding_window") == nullptr) {
      return false;  // without a window the pattern is not read
    }
    for (uint64_t i = 0; i < layers_; ++i) {
      bool on = false;
      switch (rule.how) {
        case How::kStartOf:
          on = i % n == 0;
          break;
        case How::kBelow:
          on = i < n;
          break;
        case How::kNotBelow:
          on = i >= n;
          break;
        default:
          on = (i + 1) % n == 0 || (rule.how == How::kEndOfOrLast && i + 1 == layers_);
      }
      kinds.kinds.emplace_back(on ? rule.on : rule.off);
    }
    return true;
  }

  bool UsesWindow() const {
    const ConfigValue* flag = Value("use_sliding_window");
    return flag != nullptr && flag->value == "true" && Value("sliding_window") != nullptr;
  }

  // `first`: what the first layer is called.
  bool Marked(const std::vector<std::string>& numbers, uint64_t first, const LayerKindRule& rule,
              LayerKinds& kinds) const {
    if (layers_ == 0) return false;
    kinds.kinds.assign(layers_, std::string(rule.off));
    for (const std::string& word : numbers) {
      const std::optional<uint64_t> number = Whole(word);
      if (!number.has_value()) return false;
      if (*number >= first && *number - first < layers_) kinds.kinds[*number - first] = rule.on;
    }
    return true;
  }

  static bool Letters(std::string_view pattern, LayerKinds& kinds) {
    for (const char letter : pattern) {
      switch (letter) {
        case 'M':
          kinds.kinds.emplace_back("linear_attention");
          break;
        case 'E':
          kinds.kinds.emplace_back("moe");
          break;
        case '*':
          kinds.kinds.emplace_back("full_attention");
          break;
        case '-':
          kinds.kinds.emplace_back("mlp");
          break;
        default:
          return false;
      }
    }
    return true;
  }

  static bool Runs(std::string_view list, LayerKinds& kinds) {
    std::vector<std::string> run;
    for (const std::string& word : Words(list)) {
      const std::optional<uint64_t> times = Whole(word);
      if (!times.has_value()) {
        run.push_back(word);
        continue;
      }
      if (*times * run.size() > kMostLayers - kinds.kinds.size()) return false;
      for (uint64_t i = 0; i < *times; ++i) {
        kinds.kinds.insert(kinds.kinds.end(), run.begin(), run.end());
      }
      run.clear();
    }
    return true;
  }

  const std::string_view type_;
  const ConfigValues& values_;
  const uint64_t layers_;
};

}  // namespace

std::vector<LayerKinds> LayerKindsIn(std::string_view model_type, const ConfigValues& values,
                                     uint64_t layers) {
  return Finder(model_type, values, layers).Find();
}

std::vector<LayerKinds> LayerKindsOf(std::string_view config, uint64_t layers) {
  constexpr std::string_view kText = "text_config.";
  const ConfigValues file = ReadConfigValues(config);
  ConfigValues values;
  for (const auto& [path, value] : file) {
    // Of both the nested one counts.
    if (path.starts_with(kText)) {
      values[path.substr(kText.size())] = value;
    } else {
      values.try_emplace(path, value);
    }
  }
  const auto type = values.find("model_type");
  return LayerKindsIn(type == values.end() ? "" : type->second.value, values, layers);
}

std::vector<std::string> CommonKinds(std::string_view list) {
  constexpr std::pair<std::string_view, std::string_view> kRenamed[] = {
      {"mamba", "linear_attention"},
      {"attention", "full_attention"},
      {"deepseek_sparse_attention", "indexed_attention"},
      {"qwen_sparse_attention", "indexed_attention"}};
  std::vector<std::string> kinds = Words(list);
  for (std::string& kind : kinds) {
    for (const auto& [from, to] : kRenamed) {
      if (kind == from) kind = std::string(to);
    }
  }
  return kinds;
}

std::string KindsJson(const LayerKinds& one, const std::vector<std::string>& kinds) {
  std::vector<std::string> entries;
  for (uint64_t i = 0; i < kinds.size(); ++i) {
    if (one.form == LayerKinds::Form::kWords) {
      entries.push_back(absl::StrCat("\"", kinds[i], "\""));
    } else if (one.form == LayerKinds::Form::kFlags) {
      entries.push_back(kinds[i]);
    } else if (kinds[i] == "1") {
      entries.push_back(absl::StrCat(i));
    }
  }
  return absl::StrCat("[", absl::StrJoin(entries, ", "), "]");
}

}  // namespace merganser
