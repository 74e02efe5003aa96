#include "coordinator/web/layout.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace merganser::web {
namespace {

constexpr int kUnknownRank = 1000;

bool OneOf(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

std::vector<std::string_view> Components(std::string_view name) {
  std::vector<std::string_view> components;
  while (true) {
    const size_t dot = name.find('.');
    components.push_back(name.substr(0, dot));
    if (dot == std::string_view::npos) return components;
    name.remove_prefix(dot + 1);
  }
}

std::optional<int32_t> ParseNumber(std::string_view text) {
  if (text.empty() || text.size() > 9 || (text[0] == '0' && text.size() > 1)) return std::nullopt;
  int32_t number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + (c - '0');
  }
  return number;
}

struct Split {
  NamePattern pattern;
  PlacedName placed;
};

Split SplitName(std::string_view name) {
  const std::vector<std::string_view> components = Components(name);
  size_t layer = components.size(), expert = components.size(), first = components.size();
  for (size_t i = 0; i < components.size(); ++i) {
    if (!ParseNumber(components[i])) continue;
    const std::string_view before = i > 0 ? components[i - 1] : std::string_view();
    first = std::min(first, i);
    if (layer == components.size() && OneOf(before, {"layers", "layer", "h", "blocks", "block"})) {
      layer = i;
    } else if (expert == components.size() && OneOf(before, {"experts", "expert"})) {
      expert = i;
    }
  }
  if (layer == components.size() && first != expert) layer = first;
  // parts are in the order of the name, and so are the numbers between them.
  if (layer > expert && layer < components.size()) layer = components.size();

  Split split;
  std::string part;
  for (size_t i = 0; i < components.size(); ++i) {
    if (i > 0) part += '.';
    if (i != layer && i != expert) {
      part += components[i];
      continue;
    }
    const int32_t number = *ParseNumber(components[i]);
    (i == layer ? split.placed.layer : split.placed.expert) = number;
    split.pattern.parts.push_back(std::move(part));
    part.clear();
  }
  split.pattern.parts.push_back(part);
  split.pattern.layer = split.placed.layer >= 0;
  split.pattern.expert = split.placed.expert >= 0;
  return split;
}

// Short names of modules, and where they stand in the order of computing.
struct KnownModule {
  std::string_view component, label;
  int rank;
};
constexpr KnownModule kKnown[] = {
    {"q_a_proj", "q a", 1},
    {"q_b_proj", "q b", 2},
    {"q_proj", "q", 3},
    {"kv_a_proj_with_mqa", "kv a", 4},
    {"kv_b_proj", "kv b", 5},
    {"k_proj", "k", 6},
    {"v_proj", "v", 7},
    {"qkv_proj", "qkv", 8},
    {"c_attn", "qkv", 8},
    {"o_proj", "o", 9},
    {"gate", "router", 20},
    {"router", "router", 20},
    {"gate_proj", "gate", 21},
    {"up_proj", "up", 22},
    {"gate_up_proj", "gate up", 22},
    {"down_proj", "down", 23},
    {"w1", "w1", 21},
    {"w3", "w3", 22},
    {"w2", "w2", 23},
    {"c_fc", "up", 22},
};

// What tells modules of one kind apart that have the same last component.
std::string_view Prefix(const std::vector<std::string>& components) {
  for (const std::string& component : components) {
    if (OneOf(component, {"shared_expert", "shared_experts"})) return "shared ";
    if (OneOf(component, {"experts", "expert"})) return "experts ";
    if (OneOf(component, {"cross_attn", "encoder_attn"})) return "cross ";
  }
  return "";
}

void Name(NamePattern& pattern) {
  const std::string all = absl::StrJoin(pattern.parts, ".");
  std::vector<std::string> components = absl::StrSplit(
      pattern.layer ? absl::StrJoin(pattern.parts.begin() + 1, pattern.parts.end(), ".") : all, '.',
      absl::SkipEmpty());
  std::string ending;
  if (!components.empty() && OneOf(components.back(), {"weight", "bias"})) {
    if (components.back() == "bias") ending = " bias";
    components.pop_back();
  }
  const std::string last = components.empty() ? all : components.back();
  pattern.rank = kUnknownRank;
  std::string label;
  for (const KnownModule& known : kKnown) {
    if (known.component != last) continue;
    const std::string_view prefix = Prefix(components);
    label = std::string(prefix).append(known.label);
    pattern.rank = known.rank + (prefix == "shared " ? 10 : prefix == "experts " ? 20 : 0);
    break;
  }
  if (label.empty()) {
    label = last;
    label = absl::StrReplaceAll(label, {{"_layernorm", " norm"}, {"_", " "}});
    if (absl::StrContains(label, "norm")) pattern.rank = kUnknownRank + 1;
  }
  if (!ending.empty()) pattern.rank += kUnknownRank + 2;
  pattern.label = absl::StrCat(label, ending);
}

// The components of a pattern that stand before its first number.
std::vector<std::string> Beginning(const NamePattern& pattern) {
  return absl::StrSplit(pattern.parts[0], '.', absl::SkipEmpty());
}

// Two patterns of one label get the first component in which their beginnings differ: "visual q",
// "language model q". Where that does not tell them apart they are called by all of their names.
void TellApart(std::vector<NamePattern>& patterns) {
  const auto same_labels = [&] {
    std::map<std::string, std::vector<size_t>> by;
    for (size_t i = 0; i < patterns.size(); ++i) by[patterns[i].label].push_back(i);
    std::erase_if(by, [](const auto& entry) { return entry.second.size() == 1; });
    return by;
  };
  for (const auto& [label, same] : same_labels()) {
    std::vector<std::vector<std::string>> beginnings;
    size_t shared = std::string::npos;
    for (const size_t i : same) {
      beginnings.push_back(Beginning(patterns[i]));
      const auto& first = beginnings.front();
      const auto& last = beginnings.back();
      const auto end = std::mismatch(first.begin(), first.end(), last.begin(), last.end()).first;
      if (beginnings.size() > 1) {
        shared = std::min(shared, static_cast<size_t>(end - first.begin()));
      }
    }
    for (size_t i = 0; i < same.size(); ++i) {
      if (shared >= beginnings[i].size()) continue;
      const std::string word = absl::StrReplaceAll(beginnings[i][shared], {{"_", " "}});
      patterns[same[i]].label = absl::StrCat(word, " ", label);
    }
  }
  for (const auto& [label, same] : same_labels()) {
    for (const size_t i : same) patterns[i].label = absl::StrJoin(patterns[i].parts, "N");
  }
}

}  // namespace

Layout LayOut(const std::vector<std::string_view>& names) {
  Layout layout;
  layout.names.reserve(names.size());
  std::map<std::pair<std::vector<std::string>, bool>, uint32_t> known;
  for (const std::string_view name : names) {
    Split split = SplitName(name);
    // A pattern with one number is told by which it is.
    const auto [found, added] = known.emplace(std::pair(split.pattern.parts, split.pattern.layer),
                                              static_cast<uint32_t>(layout.patterns.size()));
    if (added) {
      Name(split.pattern);
      layout.patterns.push_back(std::move(split.pattern));
    }
    split.placed.pattern = found->second;
    layout.names.push_back(split.placed);
  }
  TellApart(layout.patterns);
  return layout;
}

std::string NameOf(const NamePattern& pattern, const PlacedName& placed) {
  std::string name = pattern.parts[0];
  size_t part = 1;
  if (pattern.layer) absl::StrAppend(&name, placed.layer, pattern.parts[part++]);
  if (pattern.expert) absl::StrAppend(&name, placed.expert, pattern.parts[part++]);
  return name;
}

}  // namespace merganser::web
