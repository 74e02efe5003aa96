#include "common/recipe/recipe.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/recipe/fit_reader.h"
#include "common/recipe/lora_dtype_reader.h"
#include "common/recipe/model_ref_reader.h"
#include "common/recipe/parameter_reader.h"
#include "common/recipe/recipe_keys.h"
#include "common/recipe/recipe_messages.h"
#include "common/recipe/tokenizer_reader.h"
#include "common/recipe/yaml_scalar.h"
#include "common/recipe/yaml_tree.h"

namespace merganser {
namespace {

constexpr uint64_t kMaxLayers = 1'000'000;
constexpr std::string_view kModuleKeys[] = {"models", "parameters", "slices"};

class Reader : private RecipeMessages {
 public:
  Reader(std::string_view source, bool stage, Recipe& recipe)
      : RecipeMessages(source),
        stage_(stage),
        recipe_(recipe),
        references_(*this, recipe.notes, recipe.adapted) {}

  absl::Status Read(const YamlNode& root) {
    if (root.kind != YamlNode::Kind::kMap) {
      return YamlError(source(), root.line,
                       absl::StrCat("found ", DescribeNode(root),
                                    ", expected a map with merge_method and models"));
    }
    MERGANSER_RETURN_IF_ERROR(RefuseOtherPrograms(root));
    for (const YamlNode::Member& member : root.members) {
      MERGANSER_RETURN_IF_ERROR(ReadMember(member, KeyPlace::kTop, "",
                                           [&](const std::string&) { return ReadTop(member); }));
    }
    if (recipe_.merge_method.empty()) {
      return Error(root.line, "merge_method", "missing, expected the name of a method");
    }
    if (recipe_.models.empty() && recipe_.slices.empty()) {
      return Error(root.line, "models", "missing, expected a list of models (or slices)");
    }
    MERGANSER_RETURN_IF_ERROR(CheckOneOf(root));
    if (recipe_.allow_partial && !recipe_.slices.empty()) {
      return Error(root.Find("allow_partial")->line, "allow_partial",
                   "found beside slices, which say themselves what is taken; expected it beside "
                   "whole models alone");
    }
    MERGANSER_RETURN_IF_ERROR(CheckSliceMethods());
    TakeSlicesBase();
    PutBefore(module_parameters_, recipe_.parameters);
    if (!recipe_.out_dtype.has_value() && !recipe_.out_source) recipe_.out_dtype = dtype_;
    return absl::OkStatus();
  }

 private:
  struct SliceMethod {
    std::string key;
    const YamlNode* node;
    int line;
  };

  // What becomes of the member by the table of keys; those that are accepted are for `take`, which
  // gets their whole key.
  template <typename Take>
  absl::Status ReadMember(const YamlNode::Member& member, KeyPlace place, const std::string& parent,
                          const Take& take) {
    const std::string key =
        parent.empty() ? member.key : absl::StrCat(parent, ".", Shown(member.key));
    const RecipeKey* row = FindRecipeKey(place, member.key);
    if (row == nullptr) return ReadStray(member, place, parent, key);
    if (row->verdict == KeyVerdict::kAccepted) return take(key);
    const bool empty = member.value->kind == YamlNode::Kind::kNull;
    switch (row->verdict) {
      case KeyVerdict::kNoted:
        if (place == KeyPlace::kTop && member.key == "name") {
          if (empty) return absl::OkStatus();
          MERGANSER_RETURN_IF_ERROR(
              ReadNameText(*member.value, key, "a name", *this, recipe_.name));
          if (stage_) return absl::OkStatus();
        }
        recipe_.notes.push_back(WithoutEffect(member.line, key, row->about));
        return absl::OkStatus();
      case KeyVerdict::kWarned:
        if (!empty) {
          recipe_.warnings.push_back(Doubt(
              member.line, key,
              absl::StrCat("found ", DescribeNode(*member.value), ": ", std::string(row->about))));
        }
        return absl::OkStatus();
      default:
        return Error(member.line, key, std::string(row->about));
    }
  }

  // A key that no table has: a slip is an error, and so is a parameter that went astray; mergekit
  // ignores all of them.
  absl::Status ReadStray(const YamlNode::Member& member, KeyPlace place, const std::string& parent,
                         const std::string& key) {
    const std::vector<std::string_view> known = KnownKeys(place);
    // Without its weight mergekit merges nothing, so that it cannot be right there.
    if (member.key == "weight" || member.key == "t") {
      return Error(member.line, key,
                   "a parameter of methods, and mergekit ignores it where it stands; expected it "
                   "under 'parameters'");
    }
    if (IsParameterWord(member.key)) {
      recipe_.warnings.push_back(
          Doubt(member.line, key,
                "a parameter of methods, which has no effect where it stands: mergekit ignores it "
                "there, and so does this program; if it is meant, put it under 'parameters'"));
      return absl::OkStatus();
    }
    if (IsNear(member.key, known)) return Unknown(member, parent, known);
    recipe_.warnings.push_back(
        Doubt(member.line, key,
              "unknown: mergekit ignores it, and so does this program; take it out, or see "
              "`merganser keys` for what there is"));
    return absl::OkStatus();
  }

  // Before anything else, so that the message is of what the file is.
  absl::Status RefuseOtherPrograms(const YamlNode& root) const {
    for (const std::string_view key : {"experts", "gate_mode", "shared_experts", "genome"}) {
      const YamlNode::Member* found = root.Find(key);
      if (found == nullptr) continue;
      return Error(found->line, found->key, std::string(FindRecipeKey(KeyPlace::kTop, key)->about));
    }
    return absl::OkStatus();
  }

  absl::Status ReadTop(const YamlNode::Member& member) {
    const YamlNode& value = *member.value;
    const std::string& key = member.key;
    if (key == "merge_method") {
      recipe_.method_line = value.line;
      return ReadNameText(value, key, "the name of a method", *this, recipe_.merge_method);
    }
    if (key == "models") return ReadModels(value, key);
    if (key == "slices") return ReadSlices(value, key);
    if (key == "max_shard_size") return ReadSize(value, key, recipe_.max_shard_size);
    if (key == "unit_size") return ReadSize(value, key, recipe_.unit_size);
    if (key == "split_size") return ReadSize(value, key, recipe_.split_size);
    // The rest may be left empty, which is the same as leaving it out.
    if (value.kind == YamlNode::Kind::kNull) return absl::OkStatus();
    if (key == "modules") return ReadModules(member);
    if (key == "base_model") {
      recipe_.base_line = value.line;
      recipe_.base_model.emplace();
      return references_.Read(value, key, *recipe_.base_model);
    }
    if (key == "parameters") return ReadParameterMap(value, key, recipe_.parameters);
    if (key == "tokenizer_source") {
      return ReadTokenizerSource(value, key, *this, references_, recipe_);
    }
    if (key == "tokenizer") return ReadTokenizerMap(value, key, *this, references_, recipe_);
    if (key == "chat_template") return ReadChatTemplate(value, key, *this, recipe_);
    if (key == "lora_dtype") return ReadLoraDType(value, key, *this, recipe_);
    if (key == "rename") return ReadRename(value, key, *this, recipe_);
    if (key == "allow_partial") return ReadAllowPartial(value, key, *this, recipe_);
    if (key == "out_dtype" && value.kind == YamlNode::Kind::kScalar && value.text == "source") {
      recipe_.out_source = true;
      return absl::OkStatus();
    }
    return ReadDType(value, key, key == "out_dtype" ? recipe_.out_dtype : dtype_);
  }

  // mergekit's form of a model with one module, which it calls `default`.
  absl::Status ReadModules(const YamlNode::Member& member) {
    const YamlNode& map = *member.value;
    constexpr char kExpected[] =
        "the module `default` alone; models with several are merged whole: write `models` or "
        "`slices` at the top, which take in all tensors";
    if (map.kind != YamlNode::Kind::kMap) return Wrong(map, "modules", kExpected);
    if (map.members.size() != 1 || map.members[0].key != "default") {
      std::string names;
      for (const YamlNode::Member& module : map.members) {
        absl::StrAppend(&names, names.empty() ? "" : ", ", Shown(module.key));
      }
      return Error(member.line, "modules",
                   absl::StrCat("not supported by this version: found ",
                                names.empty() ? "no module" : names, ", expected ", kExpected));
    }
    const std::string key = "modules.default";
    const YamlNode& module = *map.members[0].value;
    if (module.kind != YamlNode::Kind::kMap)
      return Wrong(module, key, "a map with models or slices");
    modules_line_ = member.line;
    for (const YamlNode::Member& part : module.members) {
      const std::string part_key = absl::StrCat(key, ".", Shown(part.key));
      if (part.value->kind == YamlNode::Kind::kNull) continue;
      if (part.key == "models") {
        MERGANSER_RETURN_IF_ERROR(ReadModels(*part.value, part_key));
      } else if (part.key == "slices") {
        MERGANSER_RETURN_IF_ERROR(ReadSlices(*part.value, part_key));
      } else if (part.key == "parameters") {
        MERGANSER_RETURN_IF_ERROR(ReadParameterMap(*part.value, part_key, module_parameters_));
      } else {
        return Unknown(part, key, kModuleKeys);
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckOneOf(const YamlNode& root) const {
    const YamlNode::Member* models = root.Find("models");
    const YamlNode::Member* slices = root.Find("slices");
    if (modules_line_ != 0 && (models != nullptr || slices != nullptr)) {
      return Error(modules_line_, "modules",
                   absl::StrCat("found beside ", models != nullptr ? "models" : "slices",
                                ", expected one of them"));
    }
    if (!recipe_.models.empty() && !recipe_.slices.empty()) {
      return Error(slices != nullptr ? slices->line : modules_line_, "slices",
                   "found beside models, expected one of them");
    }
    return absl::OkStatus();
  }

  absl::Status ReadModels(const YamlNode& list, const std::string& list_key) {
    if (list.kind != YamlNode::Kind::kSequence) return Wrong(list, list_key, "a list of models");
    if (list.items.empty()) {
      return Error(list.line, list_key, "found an empty list, expected at least one model");
    }
    for (size_t i = 0; i < list.items.size(); ++i) {
      const YamlNode& item = *list.items[i];
      const std::string key = absl::StrCat(list_key, "[", i, "]");
      RecipeModel& model = recipe_.models.emplace_back();
      model.line = item.line;
      if (item.kind == YamlNode::Kind::kScalar) {
        MERGANSER_RETURN_IF_ERROR(references_.Read(item, key, model.model));
        continue;
      }
      if (item.kind != YamlNode::Kind::kMap) {
        return Wrong(item, key, "a model's path, or a map with model and parameters");
      }
      MERGANSER_RETURN_IF_ERROR(ReadModelAndParameters(item, KeyPlace::kModel, key, model));
    }
    return absl::OkStatus();
  }

  absl::Status ReadSlices(const YamlNode& list, const std::string& list_key) {
    if (list.kind != YamlNode::Kind::kSequence) return Wrong(list, list_key, "a list of slices");
    if (list.items.empty()) {
      return Error(list.line, list_key, "found an empty list, expected at least one slice");
    }
    uint64_t layers = 0;
    for (size_t i = 0; i < list.items.size(); ++i) {
      const std::string key = absl::StrCat(list_key, "[", i, "]");
      RecipeSlice& slice = recipe_.slices.emplace_back();
      MERGANSER_RETURN_IF_ERROR(ReadSlice(*list.items[i], key, slice));
      layers += slice.sources[0].end - slice.sources[0].begin;
    }
    if (layers == 0 || layers > kMaxLayers) {
      return Error(
          list.line, list_key,
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
      const bool empty = part.value->kind == YamlNode::Kind::kNull;
      if (part.key == "merge_method" && !empty) {
        slice_methods_.push_back({absl::StrCat(key, ".merge_method"), part.value.get(), part.line});
        continue;
      }
      const auto take = [&](const std::string& part_key) -> absl::Status {
        if (part.key == "sources") {
          sources = &part;
          return absl::OkStatus();
        }
        if (empty) return absl::OkStatus();
        if (part.key == "parameters")
          return ReadParameterMap(*part.value, part_key, slice.parameters);
        slice.base_line = part.line;
        slice.base_model.emplace();
        return references_.Read(*part.value, part_key, *slice.base_model);
      };
      MERGANSER_RETURN_IF_ERROR(ReadMember(part, KeyPlace::kSlice, key, take));
    }
    const std::string sources_key = absl::StrCat(key, ".sources");
    if (sources == nullptr) {
      return Error(node.line, sources_key, "missing, expected a list of models with layer_range");
    }
    return ReadSources(*sources->value, sources_key, slice);
  }

  absl::Status ReadSources(const YamlNode& list, const std::string& key, RecipeSlice& slice) {
    if (list.kind != YamlNode::Kind::kSequence || list.items.empty()) {
      if (list.kind == YamlNode::Kind::kSequence) {
        return Error(list.line, key, "found an empty list, expected at least one source");
      }
      return Wrong(list, key, "a list of models with layer_range");
    }
    for (size_t i = 0; i < list.items.size(); ++i) {
      const YamlNode& item = *list.items[i];
      const std::string source_key = absl::StrCat(key, "[", i, "]");
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
    MERGANSER_RETURN_IF_ERROR(ReadModelAndParameters(item, KeyPlace::kSource, key, source));
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

  // The members `model`, which must be there, `lora` and `parameters`.
  absl::Status ReadModelAndParameters(const YamlNode& item, KeyPlace place, const std::string& key,
                                      RecipeModel& model) {
    for (const YamlNode::Member& part : item.members) {
      const auto take = [&](const std::string& part_key) -> absl::Status {
        if (part.key != "parameters" || part.value->kind == YamlNode::Kind::kNull) {
          return absl::OkStatus();
        }
        return ReadParameterMap(*part.value, part_key, model.parameters);
      };
      MERGANSER_RETURN_IF_ERROR(ReadMember(part, place, key, take));
    }
    const YamlNode::Member* ref = item.Find("model");
    if (ref == nullptr) {
      return Error(item.line, absl::StrCat(key, ".model"), "missing, expected a model's path");
    }
    const std::string ref_key = absl::StrCat(key, ".model");
    const YamlNode::Member* lora = item.Find("lora");
    if (lora == nullptr) return references_.Read(*ref->value, ref_key, model.model);
    return references_.ReadWithAdapters(*ref->value, ref_key, *lora->value,
                                        absl::StrCat(key, ".lora"), model.model);
  }

  absl::Status ReadParameterMap(const YamlNode& node, const std::string& key,
                                RecipeParameters& out) {
    return ReadParameters(node, key, *this, out, recipe_.notes);
  }

  // A slice's merge_method does nothing in mergekit: only the recipe's own can be meant.
  absl::Status CheckSliceMethods() {
    const std::string why(FindRecipeKey(KeyPlace::kSlice, "merge_method")->about);
    for (const SliceMethod& method : slice_methods_) {
      if (method.node->kind != YamlNode::Kind::kScalar ||
          method.node->text != recipe_.merge_method) {
        return Wrong(*method.node, method.key,
                     absl::StrCat(recipe_.merge_method,
                                  " as at the top: one method merges all slices, and mergekit "
                                  "ignores this key; merge the slices by recipes of their own"));
      }
      recipe_.notes.push_back(WithoutEffect(method.line, method.key, why));
    }
    return absl::OkStatus();
  }

  // Where the recipe has no base and all slices have one and the same, it is the recipe's.
  void TakeSlicesBase() {
    if (recipe_.base_model.has_value() || recipe_.slices.empty()) return;
    const RecipeSlice& first = recipe_.slices[0];
    for (const RecipeSlice& slice : recipe_.slices) {
      if (!slice.base_model.has_value() || slice.base_model != first.base_model) return;
    }
    recipe_.base_model = first.base_model;
    recipe_.base_line = first.base_line;
  }

  // `narrow` decides before `wide`: its conditions go first, as far as they leave anything over.
  static void PutBefore(const RecipeParameters& narrow, RecipeParameters& wide) {
    for (const auto& [key, setting] : narrow) {
      RecipeSetting joined = setting;
      const bool leaves =
          std::none_of(setting.conditions.begin(), setting.conditions.end(),
                       [](const RecipeCondition& condition) { return condition.filter.empty(); });
      if (const auto it = wide.find(key); it != wide.end() && leaves) {
        joined.conditions.insert(joined.conditions.end(), it->second.conditions.begin(),
                                 it->second.conditions.end());
      }
      wide[key] = std::move(joined);
    }
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
    std::string expected = "one of float64, float32, float16, bfloat16";
    if (key == "out_dtype") expected += ", source";
    if (node.kind == YamlNode::Kind::kScalar) {
      constexpr std::string_view kModule = "torch.";  // as Python shows them
      std::string_view name = node.text;
      if (name.starts_with(kModule)) name.remove_prefix(kModule.size());
      out = ParseTorchFloat(name);
    }
    if (!out.has_value()) return Wrong(node, key, expected);
    return absl::OkStatus();
  }

  const bool stage_;
  Recipe& recipe_;
  const ModelRefReader references_;
  std::optional<DType> dtype_;
  RecipeParameters module_parameters_;
  int modules_line_ = 0;
  std::vector<SliceMethod> slice_methods_;
};

}  // namespace

absl::StatusOr<Recipe> ParseRecipe(std::string_view text, std::string_view source_name,
                                   bool stage) {
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
  MERGANSER_RETURN_IF_ERROR(Reader(source_name, stage, recipe).Read(*root));
  return recipe;
}

std::vector<std::string> PartsOfModel(const Recipe& recipe, const std::string& model) {
  const auto adapted = recipe.adapted.find(model);
  if (adapted == recipe.adapted.end()) return {model};
  std::vector<std::string> parts = {adapted->second.path};
  for (const ModelAdapter& adapter : adapted->second.adapters) parts.push_back(adapter.path);
  return parts;
}

}  // namespace merganser
