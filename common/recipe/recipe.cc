#include "common/recipe/recipe.h"

#include <algorithm>
#include <memory>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/recipe/parameter_reader.h"
#include "common/recipe/recipe_messages.h"
#include "common/recipe/yaml_scalar.h"
#include "common/recipe/yaml_tree.h"
#include "common/storage/uri.h"

namespace merganser {
namespace {

constexpr std::string_view kTopKeys[] = {
    "base_model", "dtype",  "max_shard_size", "merge_method",     "models",   "out_dtype",
    "parameters", "slices", "split_size",     "tokenizer_source", "unit_size"};
constexpr std::string_view kModelKeys[] = {"model", "parameters"};
constexpr std::string_view kSliceKeys[] = {"sources", "parameters"};
constexpr std::string_view kSourceKeys[] = {"model", "layer_range", "parameters"};
constexpr std::string_view kPathKeys[] = {"path"};
// mergekit's, known and not to be taken for typing errors.
// Keys of mergekit's that change what is merged, and what to do without them.
struct Unsupported {
  std::string_view key, instead;
};
constexpr Unsupported kUnsupportedTopKeys[] = {
    {"chat_template", "put the template into the merged model's tokenizer files"},
    {"modules", "merge the modules one by one"},
    {"name", "write a recipe of its own for every stage"},
    {"tokenizer", "choose whole tokenizers with tokenizer_source"}};
constexpr Unsupported kUnsupportedPathKeys[] = {
    {"lora", "merge the adapter into its model first, and name the result"},
    {"override_architecture", "remove it: tensors are aligned by their names"},
    {"revision", "name the folder that holds this revision"}};
// Settings of mergekit's program that people write into its recipes, where they
// do nothing either.
constexpr std::string_view kTopKeysWithoutEffect[] = {
    "allow_crimes",  "copy_tokenizer", "cuda",        "int8_mask",
    "lazy_unpickle", "low_cpu_memory", "random_seed", "trust_remote_code"};
constexpr uint64_t kMaxLayers = 1'000'000;

bool Contains(std::span<const std::string_view> words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

const Unsupported* Find(std::span<const Unsupported> keys, std::string_view key) {
  const auto found = std::find_if(keys.begin(), keys.end(),
                                  [key](const Unsupported& one) { return one.key == key; });
  return found == keys.end() ? nullptr : &*found;
}

std::string NotSupported(const Unsupported& key) {
  return absl::StrCat("not supported by this version; ", std::string(key.instead));
}

class Reader : private RecipeMessages {
 public:
  Reader(std::string_view source, Recipe& recipe) : RecipeMessages(source), recipe_(recipe) {}

  absl::Status Read(const YamlNode& root) {
    if (root.kind != YamlNode::Kind::kMap) {
      return YamlError(source(), root.line,
                       absl::StrCat("found ", DescribeNode(root),
                                    ", expected a map with merge_method and models"));
    }
    for (const YamlNode::Member& member : root.members) {
      if (const Unsupported* found = Find(kUnsupportedTopKeys, member.key)) {
        if (member.value->kind == YamlNode::Kind::kNull) continue;
        return Error(member.line, member.key, NotSupported(*found));
      }
      if (Contains(kTopKeysWithoutEffect, member.key)) {
        recipe_.notes.push_back(WithoutEffect(member.line, member.key));
        continue;
      }
      if (!Contains(kTopKeys, member.key)) return Unknown(member, "", kTopKeys);
      MERGANSER_RETURN_IF_ERROR(ReadTop(member));
    }
    if (recipe_.merge_method.empty()) {
      return Error(root.line, "merge_method", "missing, expected the name of a method");
    }
    if (recipe_.models.empty() && recipe_.slices.empty()) {
      return Error(root.line, "models", "missing, expected a list of models (or slices)");
    }
    if (!recipe_.models.empty() && !recipe_.slices.empty()) {
      return Error(root.Find("slices")->line, "slices",
                   "found beside models, expected one of them");
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
    if (key == "slices") return ReadSlices(member);
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
    if (key == "parameters") return ReadParameterMap(value, key, recipe_.parameters);
    if (key == "tokenizer_source") return ReadTokenizer(value, key);
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
      for (const YamlNode::Member& part : item.members) {
        if (!Contains(kModelKeys, part.key)) return Unknown(part, key, kModelKeys);
      }
      MERGANSER_RETURN_IF_ERROR(ReadModelAndParameters(item, key, model));
    }
    return absl::OkStatus();
  }

  absl::Status ReadSlices(const YamlNode::Member& member) {
    const YamlNode& list = *member.value;
    if (list.kind != YamlNode::Kind::kSequence) return Wrong(list, "slices", "a list of slices");
    if (list.items.empty()) {
      return Error(list.line, "slices", "found an empty list, expected at least one slice");
    }
    uint64_t layers = 0;
    for (size_t i = 0; i < list.items.size(); ++i) {
      const std::string key = absl::StrCat("slices[", i, "]");
      RecipeSlice& slice = recipe_.slices.emplace_back();
      MERGANSER_RETURN_IF_ERROR(ReadSlice(*list.items[i], key, slice));
      layers += slice.sources[0].end - slice.sources[0].begin;
    }
    if (layers == 0 || layers > kMaxLayers) {
      return Error(
          list.line, "slices",
          absl::StrCat("found ", layers, " layers in all, expected from 1 to ", kMaxLayers));
    }
    return absl::OkStatus();
  }

  absl::Status ReadSlice(const YamlNode& node, const std::string& key, RecipeSlice& slice) {
    slice.line = node.line;
    if (node.kind != YamlNode::Kind::kMap) {
      return Wrong(node, key, "a map with sources and parameters");
    }
    const YamlNode::Member* sources = nullptr;
    for (const YamlNode::Member& part : node.members) {
      const std::string part_key = absl::StrCat(key, ".", Shown(part.key));
      if (part.key == "residual_weight") {
        recipe_.notes.push_back(WithoutEffect(part.line, part_key));
      } else if (part.key == "base_model") {
        if (part.value->kind == YamlNode::Kind::kNull) continue;
        return Error(part.line, part_key,
                     "not supported by this version; expected one base_model for all slices, at "
                     "the top of the recipe");
      } else if (part.key == "sources") {
        sources = &part;
      } else if (part.key != "parameters") {
        return Unknown(part, key, kSliceKeys);
      } else if (part.value->kind != YamlNode::Kind::kNull) {
        MERGANSER_RETURN_IF_ERROR(ReadParameterMap(*part.value, part_key, slice.parameters));
      }
    }
    const std::string sources_key = absl::StrCat(key, ".sources");
    if (sources == nullptr) {
      return Error(node.line, sources_key, "missing, expected a list of models with layer_range");
    }
    const YamlNode& list = *sources->value;
    if (list.kind != YamlNode::Kind::kSequence || list.items.empty()) {
      if (list.kind == YamlNode::Kind::kSequence) {
        return Error(list.line, sources_key, "found an empty list, expected at least one source");
      }
      return Wrong(list, sources_key, "a list of models with layer_range");
    }
    for (size_t i = 0; i < list.items.size(); ++i) {
      const YamlNode& item = *list.items[i];
      const std::string source_key = absl::StrCat(sources_key, "[", i, "]");
      RecipeSource& source = slice.sources.emplace_back();
      MERGANSER_RETURN_IF_ERROR(ReadSource(item, source_key, source));
      const RecipeSource& first = slice.sources[0];
      if (source.end - source.begin != first.end - first.begin) {
        return Error(item.Find("layer_range")->line, absl::StrCat(source_key, ".layer_range"),
                     absl::StrCat("found ", source.end - source.begin, " layers, expected ",
                                  first.end - first.begin, " as in the slice's first source"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadSource(const YamlNode& item, const std::string& key, RecipeSource& source) {
    source.line = item.line;
    if (item.kind != YamlNode::Kind::kMap) {
      return Wrong(item, key, "a map with model, layer_range and parameters");
    }
    for (const YamlNode::Member& part : item.members) {
      if (!Contains(kSourceKeys, part.key)) return Unknown(part, key, kSourceKeys);
    }
    MERGANSER_RETURN_IF_ERROR(ReadModelAndParameters(item, key, source));
    const std::string range_key = absl::StrCat(key, ".layer_range");
    constexpr char kExpected[] =
        "two whole numbers [first, end): the first layer and the one behind the last";
    const YamlNode::Member* range = item.Find("layer_range");
    if (range == nullptr) {
      return Error(item.line, range_key, absl::StrCat("missing, expected ", kExpected));
    }
    const YamlNode& pair = *range->value;
    if (pair.kind != YamlNode::Kind::kSequence) return Wrong(pair, range_key, kExpected);
    if (pair.items.size() != 2) {
      return Error(pair.line, range_key,
                   absl::StrCat("found a list of ", pair.items.size(), ", expected ", kExpected));
    }
    uint64_t* const ends[] = {&source.begin, &source.end};
    for (size_t i = 0; i < 2; ++i) {
      const YamlNode& node = *pair.items[i];
      if (node.kind != YamlNode::Kind::kScalar) return Wrong(node, range_key, kExpected);
      const auto scalar = ReadScalar(node);
      const double* number = scalar.ok() ? std::get_if<double>(&*scalar) : nullptr;
      if (number == nullptr || *number < 0 || *number > kMaxLayers ||
          *number != static_cast<double>(static_cast<uint64_t>(*number))) {
        return Wrong(node, range_key, kExpected);
      }
      *ends[i] = static_cast<uint64_t>(*number);
    }
    if (source.end < source.begin) {
      return Error(
          pair.line, range_key,
          absl::StrCat("found [", source.begin, ", ", source.end, "], expected ", kExpected));
    }
    return absl::OkStatus();
  }

  // The members `model`, which must be there, and `parameters`.
  absl::Status ReadModelAndParameters(const YamlNode& item, const std::string& key,
                                      RecipeModel& model) {
    const YamlNode::Member* parameters = item.Find("parameters");
    if (parameters != nullptr && parameters->value->kind != YamlNode::Kind::kNull) {
      MERGANSER_RETURN_IF_ERROR(
          ReadParameterMap(*parameters->value, absl::StrCat(key, ".parameters"), model.parameters));
    }
    const YamlNode::Member* ref = item.Find("model");
    if (ref == nullptr) {
      return Error(item.line, absl::StrCat(key, ".model"), "missing, expected a model's path");
    }
    return ReadModelRef(*ref->value, absl::StrCat(key, ".model"), model.model);
  }

  absl::Status ReadParameterMap(const YamlNode& node, const std::string& key,
                                RecipeParameters& out) {
    return ReadParameters(node, key, *this, out, recipe_.notes);
  }

  absl::Status ReadTokenizer(const YamlNode& value, const std::string& key) {
    TokenizerSource source;
    source.line = value.line;
    if (value.kind == YamlNode::Kind::kScalar) {
      if (value.text == "union") {
        return Error(value.line, key,
                     "found \"union\", which is not supported by this version (vocabularies are "
                     "not merged); expected base or one of the models");
      }
      source.base = value.text == "base";
    }
    if (!source.base) MERGANSER_RETURN_IF_ERROR(ReadModelRef(value, key, source.model));
    recipe_.tokenizer = std::move(source);
    return absl::OkStatus();
  }

  // A path or URI; mergekit's long forms {path: P} and {model: {path: P}} are
  // read as well, and take P as it stands.
  absl::Status ReadModelRef(const YamlNode& node, const std::string& key, std::string& out) {
    if (node.kind == YamlNode::Kind::kMap) return ReadLongRef(node, key, out);
    MERGANSER_RETURN_IF_ERROR(ReadLocation(node, key, out));
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

  // A recipe is put on record and shown, and nothing in it may be a secret.
  absl::Status ReadLocation(const YamlNode& node, const std::string& key, std::string& out) {
    MERGANSER_RETURN_IF_ERROR(ReadName(node, key, "a model's path", out));
    const absl::Status clean = CheckNoSecrets(out);
    return clean.ok() ? clean : Error(node.line, key, std::string(clean.message()));
  }

  absl::Status ReadLongRef(const YamlNode& node, const std::string& key, std::string& out) {
    const YamlNode::Member* inner = node.Find("model");
    for (const YamlNode::Member& part : node.members) {
      const std::string part_key = absl::StrCat(key, ".", part.key);
      if (const Unsupported* found = Find(kUnsupportedPathKeys, part.key)) {
        if (part.value->kind == YamlNode::Kind::kNull) continue;
        return Error(part.line, part_key, NotSupported(*found));
      }
      if (&part == inner) continue;
      if (part.key != "path") return Unknown(part, key, kPathKeys);
      MERGANSER_RETURN_IF_ERROR(ReadLocation(*part.value, part_key, out));
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
    if (out.empty())
      return Error(node.line, absl::StrCat(key, ".path"), "missing, expected a model's path");
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
  recipe.source_name = Shown(source_name);
  recipe.text = std::string(text);
  MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<const YamlNode> root,
                             ParseYaml(text, source_name));
  MERGANSER_RETURN_IF_ERROR(Reader(source_name, recipe).Read(*root));
  return recipe;
}

}  // namespace merganser
