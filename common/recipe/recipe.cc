#include "common/recipe/recipe.h"

#include <algorithm>
#include <memory>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/bytes.h"
#include "common/base/edit_distance.h"
#include "common/base/status.h"
#include "common/format/text.h"
#include "common/recipe/yaml_scalar.h"
#include "common/recipe/yaml_tree.h"

namespace merganser {
namespace {

constexpr std::string_view kTopKeys[] = {"base_model",   "dtype",           "max_shard_size",
                                         "merge_method", "models",          "out_dtype",
                                         "parameters",   "split_size",      "tokenizer_source",
                                         "unit_size"};
constexpr std::string_view kModelKeys[] = {"model", "parameters"};
constexpr std::string_view kPathKeys[] = {"path"};
// mergekit's, known and not to be taken for typing errors.
constexpr std::string_view kUnsupportedTopKeys[] = {"chat_template", "modules", "name", "slices",
                                                    "tokenizer"};
constexpr std::string_view kUnsupportedPathKeys[] = {"lora", "override_architecture", "revision"};

bool Contains(std::span<const std::string_view> words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

class Reader {
 public:
  Reader(std::string_view source, Recipe& recipe) : source_(source), recipe_(recipe) {}

  absl::Status Read(const YamlNode& root) {
    if (root.kind != YamlNode::Kind::kMap) {
      return YamlError(source_, root.line,
                       absl::StrCat("found ", DescribeNode(root),
                                    ", expected a map with merge_method and models"));
    }
    for (const YamlNode::Member& member : root.members) {
      if (Contains(kUnsupportedTopKeys, member.key)) {
        return Error(member.line, member.key, "not supported by this version");
      }
      if (!Contains(kTopKeys, member.key)) return Unknown(member, "", kTopKeys);
      MERGANSER_RETURN_IF_ERROR(ReadTop(member));
    }
    if (recipe_.merge_method.empty()) {
      return Error(root.line, "merge_method", "missing, expected the name of a method");
    }
    if (recipe_.models.empty()) {
      return Error(root.line, "models", "missing, expected a list of models");
    }
    if (!recipe_.out_dtype.has_value()) recipe_.out_dtype = dtype_;
    return absl::OkStatus();
  }

 private:
  absl::Status ReadTop(const YamlNode::Member& member) {
    const YamlNode& value = *member.value;
    const std::string& key = member.key;
    if (key == "merge_method") {
      recipe_.method_line = value.line;
      return ReadName(value, key, "the name of a method", recipe_.merge_method);
    }
    if (key == "models") return ReadModels(member);
    if (key == "max_shard_size") return ReadSize(value, key, recipe_.max_shard_size);
    if (key == "unit_size") return ReadSize(value, key, recipe_.unit_size);
    if (key == "split_size") return ReadSize(value, key, recipe_.split_size);
    // The rest may be left empty, which is the same as leaving it out.
    if (value.kind == YamlNode::Kind::kNull) return absl::OkStatus();
    if (key == "base_model") {
      recipe_.base_line = value.line;
      recipe_.base_model.emplace();
      return ReadModelRef(value, key, *recipe_.base_model);
    }
    if (key == "parameters") return ReadParameters(value, key, recipe_.parameters);
    if (key == "tokenizer_source") {
      if (value.kind != YamlNode::Kind::kScalar || value.text != "base") {
        return Error(value.line, key,
                     absl::StrCat("found ", DescribeNode(value),
                                  ", which is not supported by this version; expected base"));
      }
      NoteWithoutEffect(value.line, key);
      return absl::OkStatus();
    }
    return ReadDType(value, key, key == "out_dtype" ? recipe_.out_dtype : dtype_);
  }

  absl::Status ReadModels(const YamlNode::Member& member) {
    const YamlNode& list = *member.value;
    if (list.kind != YamlNode::Kind::kSequence) return Wrong(list, "models", "a list of models");
    if (list.items.empty()) {
      return Error(list.line, "models", "found an empty list, expected at least one model");
    }
    for (size_t i = 0; i < list.items.size(); ++i) {
      const YamlNode& item = *list.items[i];
      const std::string key = absl::StrCat("models[", i, "]");
      RecipeModel& model = recipe_.models.emplace_back();
      model.line = item.line;
      if (item.kind == YamlNode::Kind::kScalar) {
        MERGANSER_RETURN_IF_ERROR(ReadModelRef(item, key, model.model));
        continue;
      }
      if (item.kind != YamlNode::Kind::kMap) {
        return Wrong(item, key, "a model's path, or a map with model and parameters");
      }
      const YamlNode::Member* ref = nullptr;
      for (const YamlNode::Member& part : item.members) {
        if (!Contains(kModelKeys, part.key)) return Unknown(part, key, kModelKeys);
        if (part.key == "model") {
          ref = &part;
        } else if (part.value->kind != YamlNode::Kind::kNull) {
          MERGANSER_RETURN_IF_ERROR(
              ReadParameters(*part.value, absl::StrCat(key, ".parameters"), model.parameters));
        }
      }
      if (ref == nullptr) {
        return Error(item.line, absl::StrCat(key, ".model"), "missing, expected a model's path");
      }
      MERGANSER_RETURN_IF_ERROR(
          ReadModelRef(*ref->value, absl::StrCat(key, ".model"), model.model));
    }
    return absl::OkStatus();
  }

  // A path or URI; mergekit's long forms {path: P} and {model: {path: P}} are
  // read as well, and take P as it stands.
  absl::Status ReadModelRef(const YamlNode& node, const std::string& key, std::string& out) {
    if (node.kind == YamlNode::Kind::kMap) return ReadLongRef(node, key, out);
    MERGANSER_RETURN_IF_ERROR(ReadName(node, key, "a model's path", out));
    if (out.find("://") != std::string::npos) return absl::OkStatus();
    for (const auto& [mark, what] :
         {std::pair<char, std::string_view>{'+', "an adapter (+lora)"}, {'@', "a revision (@)"}}) {
      if (out.find(mark) == std::string::npos) continue;
      return Error(node.line, key,
                   absl::StrCat("found ", DescribeNode(node), ": ", std::string(what),
                                " is not supported by this version; a path with this character "
                                "is written {path: ...}"));
    }
    return absl::OkStatus();
  }

  absl::Status ReadLongRef(const YamlNode& node, const std::string& key, std::string& out) {
    const YamlNode::Member* inner = node.Find("model");
    for (const YamlNode::Member& part : node.members) {
      const std::string part_key = absl::StrCat(key, ".", part.key);
      if (Contains(kUnsupportedPathKeys, part.key)) {
        if (part.value->kind == YamlNode::Kind::kNull) continue;
        return Error(part.line, part_key, "not supported by this version");
      }
      if (&part == inner) continue;
      if (part.key != "path") return Unknown(part, key, kPathKeys);
      MERGANSER_RETURN_IF_ERROR(ReadName(*part.value, part_key, "a model's path", out));
    }
    if (inner != nullptr) {
      const std::string inner_key = absl::StrCat(key, ".model");
      if (!out.empty()) return Error(node.line, key, "both path and model, expected one of them");
      if (inner->value->kind != YamlNode::Kind::kMap) {
        return ReadModelRef(*inner->value, inner_key, out);
      }
      if (const YamlNode::Member* again = inner->value->Find("model"); again != nullptr) {
        return Unknown(*again, inner_key, kPathKeys);
      }
      return ReadLongRef(*inner->value, inner_key, out);
    }
    if (out.empty()) return Error(node.line, absl::StrCat(key, ".path"), "missing");
    return absl::OkStatus();
  }

  absl::Status ReadParameters(const YamlNode& node, const std::string& key, RecipeParameters& out) {
    if (node.kind != YamlNode::Kind::kMap) return Wrong(node, key, "a map of parameters");
    for (const YamlNode::Member& member : node.members) {
      const YamlNode& value = *member.value;
      const std::string path = absl::StrCat(key, ".", OneLine(member.key));
      if (value.kind == YamlNode::Kind::kSequence) {
        return Error(value.line, path,
                     "found a list; gradients and filter conditions are not supported by this "
                     "version, expected one value");
      }
      if (value.kind == YamlNode::Kind::kMap) {
        return Error(value.line, path,
                     "found a map; filter conditions are not supported by this version, expected "
                     "one value");
      }
      if (value.kind == YamlNode::Kind::kNull) return Wrong(value, path, "a value");
      absl::StatusOr<std::variant<bool, double, std::string>> scalar = ReadScalar(value);
      if (!scalar.ok()) return Error(value.line, path, std::string(scalar.status().message()));
      if (member.key == "int8_mask") {
        if (!std::holds_alternative<bool>(*scalar)) return Wrong(value, path, "true or false");
        NoteWithoutEffect(value.line, path);
        continue;
      }
      out.emplace(member.key, RecipeValue{*std::move(scalar), value.line});
    }
    return absl::OkStatus();
  }

  absl::Status ReadSize(const YamlNode& node, const std::string& key, uint64_t& out) {
    constexpr std::string_view kExpected = "a number of bytes above 0, or a size such as 5GB";
    if (node.kind != YamlNode::Kind::kScalar) return Wrong(node, key, std::string(kExpected));
    const absl::StatusOr<uint64_t> bytes = ParseBytes(node.text);
    if (!bytes.ok() || *bytes == 0) return Wrong(node, key, std::string(kExpected));
    out = *bytes;
    return absl::OkStatus();
  }

  absl::Status ReadDType(const YamlNode& node, const std::string& key, std::optional<DType>& out) {
    constexpr std::string_view kExpected = "one of float64, float32, float16, bfloat16";
    if (node.kind == YamlNode::Kind::kScalar) out = ParseTorchFloat(node.text);
    if (!out.has_value()) return Wrong(node, key, std::string(kExpected));
    return absl::OkStatus();
  }

  absl::Status ReadName(const YamlNode& node, const std::string& key, const std::string& expected,
                        std::string& out) {
    if (node.kind != YamlNode::Kind::kScalar) return Wrong(node, key, expected);
    const absl::StatusOr<std::variant<bool, double, std::string>> scalar = ReadScalar(node);
    if (!scalar.ok() || !std::holds_alternative<std::string>(*scalar)) {
      return Wrong(node, key, absl::StrCat(expected, " (in quotes if it looks like a number)"));
    }
    if (node.text.empty()) return Wrong(node, key, expected);
    out = node.text;
    return absl::OkStatus();
  }

  void NoteWithoutEffect(int line, const std::string& key) {
    recipe_.notes.push_back(absl::StrCat(OneLine(source_), ":", line, ": key '", key,
                                         "': accepted, but it has no effect here"));
  }

  absl::Status Error(int line, const std::string& key, const std::string& what) const {
    return YamlError(source_, line, absl::StrCat("key ", Quoted(key), ": ", what));
  }
  absl::Status Wrong(const YamlNode& node, const std::string& key,
                     const std::string& expected) const {
    return Error(node.line, key,
                 absl::StrCat("found ", DescribeNode(node), ", expected ", expected));
  }
  absl::Status Unknown(const YamlNode::Member& member, const std::string& parent,
                       std::span<const std::string_view> known) const {
    const std::string path =
        parent.empty() ? member.key : absl::StrCat(parent, ".", OneLine(member.key));
    std::string nearest;
    // A key as long as a page is nobody's typing error, and costs time to compare.
    constexpr size_t kLongest = 64;
    size_t best = std::min(member.key.size(), kLongest);
    for (const std::string_view word : known) {
      if (member.key.size() > kLongest) break;
      const size_t distance = EditDistance(member.key, word);
      if (distance >= best) continue;
      best = distance;
      nearest = std::string(word);
    }
    if (!nearest.empty() && best <= std::max<size_t>(2, nearest.size() / 2)) {
      return Error(member.line, path, absl::StrCat("unknown; did you mean '", nearest, "'?"));
    }
    std::vector<std::string> words;
    for (const std::string_view word : known) words.emplace_back(word);
    return Error(member.line, path,
                 absl::StrCat("unknown; known here: ", absl::StrJoin(words, ", ")));
  }

  std::string_view source_;
  Recipe& recipe_;
  std::optional<DType> dtype_;
};

}  // namespace

absl::StatusOr<Recipe> ParseRecipe(std::string_view text, std::string_view source_name) {
  if (text.size() > kMaxRecipeBytes) {
    return YamlError(
        source_name, 1,
        absl::StrCat("the recipe has ", text.size(), " bytes, expected at most ", kMaxRecipeBytes));
  }
  Recipe recipe;
  recipe.source_name = std::string(source_name);
  recipe.text = std::string(text);
  MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<const YamlNode> root,
                             ParseYaml(text, source_name));
  MERGANSER_RETURN_IF_ERROR(Reader(source_name, recipe).Read(*root));
  return recipe;
}

}  // namespace merganser
