// A setting is one of
//
//   0.5                                      a value, for every tensor
//   [0, 0.3, 1]                              a gradient over the layers
//   [{filter: mlp, value: 0.5}, {value: 1}]  values, or gradients, under conditions
//   {filter: mlp, value: 0.5}                one condition
#include "common/recipe/parameter_reader.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/recipe/yaml_scalar.h"

namespace merganser {
namespace {

constexpr std::string_view kConditionKeys[] = {"filter", "value"};

// mergekit writes 1.0 and 0.0 for true and false.
bool IsBoolean(const RecipeValue& value) {
  if (std::holds_alternative<bool>(value.value)) return true;
  const double* number = std::get_if<double>(&value.value);
  return number != nullptr && (*number == 0 || *number == 1);
}

class SettingReader {
 public:
  SettingReader(const RecipeMessages& messages, std::string key)
      : messages_(messages), key_(std::move(key)) {}

  absl::Status Read(const YamlNode& node, RecipeSetting& out) const {
    out.line = node.line;
    if (node.kind == YamlNode::Kind::kMap) {
      return ReadCondition(node, key_, out.conditions.emplace_back());
    }
    if (node.kind == YamlNode::Kind::kSequence && !node.items.empty()) {
      const auto maps = static_cast<size_t>(
          std::count_if(node.items.begin(), node.items.end(),
                        [](const auto& item) { return item->kind == YamlNode::Kind::kMap; }));
      if (maps == node.items.size()) return ReadConditions(node, out);
      if (maps > 0) {
        return messages_.Error(
            node.line, key_,
            absl::StrCat("found a list of ", maps, " maps and ", node.items.size() - maps,
                         " other values, expected numbers alone (a gradient) "
                         "or maps with filter and value alone"));
      }
    }
    RecipeCondition& all = out.conditions.emplace_back();
    all.line = node.line;
    return ReadValue(node, key_, all);
  }

 private:
  absl::Status ReadConditions(const YamlNode& list, RecipeSetting& out) const {
    for (size_t i = 0; i < list.items.size(); ++i) {
      MERGANSER_RETURN_IF_ERROR(ReadCondition(*list.items[i], absl::StrCat(key_, "[", i, "]"),
                                              out.conditions.emplace_back()));
    }
    return absl::OkStatus();
  }

  absl::Status ReadCondition(const YamlNode& item, const std::string& key,
                             RecipeCondition& condition) const {
    condition.line = item.line;
    bool has_value = false;
    for (const YamlNode::Member& member : item.members) {
      const std::string path = absl::StrCat(key, ".", Shown(member.key));
      if (member.key == "value") {
        has_value = true;
        MERGANSER_RETURN_IF_ERROR(ReadValue(*member.value, path, condition));
      } else if (member.key == "filter") {
        MERGANSER_RETURN_IF_ERROR(ReadFilter(*member.value, path, condition.filter));
      } else {
        return messages_.Unknown(member, key, kConditionKeys);
      }
    }
    if (has_value) return absl::OkStatus();
    return messages_.Error(item.line, absl::StrCat(key, ".value"),
                           "missing, expected a value or a list of numbers");
  }

  absl::Status ReadFilter(const YamlNode& node, const std::string& key, std::string& out) const {
    constexpr char kExpected[] =
        "a part of a tensor's name (in quotes if it looks like a number or boolean)";
    if (node.kind == YamlNode::Kind::kNull) return absl::OkStatus();
    if (node.kind != YamlNode::Kind::kScalar) return messages_.Wrong(node, key, kExpected);
    const auto scalar = ReadScalar(node);
    if (!scalar.ok() || !std::holds_alternative<std::string>(*scalar)) {
      return messages_.Wrong(node, key, kExpected);
    }
    if (node.text != "*") out = node.text;
    return absl::OkStatus();
  }

  absl::Status ReadValue(const YamlNode& node, const std::string& key, RecipeCondition& out) const {
    if (node.kind == YamlNode::Kind::kSequence) return ReadGradient(node, key, out);
    if (node.kind == YamlNode::Kind::kMap) {
      return messages_.Error(node.line, key,
                             "found a map, expected a value; conditions are a list of maps with "
                             "filter and value");
    }
    return ReadOne(node, key, "a value", out);
  }

  absl::Status ReadGradient(const YamlNode& list, const std::string& key,
                            RecipeCondition& out) const {
    if (list.items.empty()) {
      return messages_.Error(list.line, key,
                             "found an empty list, expected the numbers of a gradient, or maps "
                             "with filter and value");
    }
    for (size_t i = 0; i < list.items.size(); ++i) {
      const std::string at = absl::StrCat(key, "[", i, "]");
      constexpr char kExpected[] = "a number, as all of a gradient";
      const YamlNode& item = *list.items[i];
      if (item.kind != YamlNode::Kind::kScalar) return messages_.Wrong(item, at, kExpected);
      MERGANSER_RETURN_IF_ERROR(ReadOne(item, at, kExpected, out));
      if (!std::holds_alternative<double>(out.values.back().value)) {
        return messages_.Wrong(item, at, kExpected);
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadOne(const YamlNode& node, const std::string& key, const std::string& expected,
                       RecipeCondition& out) const {
    if (node.kind != YamlNode::Kind::kScalar) return messages_.Wrong(node, key, expected);
    absl::StatusOr<std::variant<bool, double, std::string>> scalar = ReadScalar(node);
    if (!scalar.ok()) {
      return messages_.Error(node.line, key, std::string(scalar.status().message()));
    }
    out.values.push_back({*std::move(scalar), node.line});
    return absl::OkStatus();
  }

  const RecipeMessages& messages_;
  const std::string key_;
};

}  // namespace

absl::Status ReadParameters(const YamlNode& node, const std::string& key,
                            const RecipeMessages& messages, RecipeParameters& out,
                            std::vector<std::string>& notes) {
  if (node.kind != YamlNode::Kind::kMap) return messages.Wrong(node, key, "a map of parameters");
  for (const YamlNode::Member& member : node.members) {
    const std::string path = absl::StrCat(key, ".", Shown(member.key));
    RecipeSetting setting;
    MERGANSER_RETURN_IF_ERROR(SettingReader(messages, path).Read(*member.value, setting));
    if (member.key == "int8_mask") {
      for (const RecipeCondition& condition : setting.conditions) {
        if (IsBoolean(condition.values[0])) continue;
        return messages.Wrong(*member.value, path, "true or false");
      }
      notes.push_back(messages.WithoutEffect(member.value->line, path));
      continue;
    }
    out.emplace(member.key, std::move(setting));
  }
  return absl::OkStatus();
}

}  // namespace merganser
