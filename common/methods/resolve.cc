// Who takes part, and with which parameters. Models of `models:` are one slice
// without layers; what is said of slices below holds for them as well.
#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/methods/registry.h"
#include "common/recipe/recipe_place.h"

namespace merganser {
namespace {

class Resolver {
 public:
  Resolver(const Recipe& recipe, const MethodInfo& info,
           const std::function<std::string(const std::string&)>& canonical)
      : recipe_(recipe), info_(info), canonical_(canonical) {
    resolved_.context = {recipe.source_name, recipe.method_line, std::string(info.name)};
    resolved_.parameters = recipe.parameters;
    resolved_.config.method = std::string(info.name);
  }

  absl::Status Check() {
    MERGANSER_RETURN_IF_ERROR(CheckAllSettings());
    return CheckBaseGiven();
  }

  absl::StatusOr<ResolvedMethod> Resolve() {
    MERGANSER_RETURN_IF_ERROR(Check());
    MERGANSER_RETURN_IF_ERROR(ResolveBase());
    MERGANSER_RETURN_IF_ERROR(CheckSliceBases());
    for (size_t s = 0; s < Slices(); ++s) MERGANSER_RETURN_IF_ERROR(ResolveSlice(s));
    FindReference();
    NoteDropped();
    NoteWithoutEffect();
    MERGANSER_RETURN_IF_ERROR(SettleDefault());
    return std::move(resolved_);
  }

 private:
  bool Whole() const { return recipe_.slices.empty(); }
  size_t Slices() const { return Whole() ? 1 : recipe_.slices.size(); }

  // Calls `use` with every model of slice `s`; `source` is null for whole models.
  template <typename Use>
  void ForEachModel(size_t s, const Use& use) const {
    if (Whole()) {
      for (const RecipeModel& model : recipe_.models) use(model, nullptr);
      if (joined_.has_value()) use(*joined_, nullptr);
    } else {
      for (const RecipeSource& source : recipe_.slices[s].sources) use(source, &source);
    }
  }

  absl::Status CheckAllSettings() {
    SettingRemarks remarks;
    const auto check = [&](const RecipeParameters& parameters, bool model) {
      return CheckSettings(parameters, info_.parameters, model, resolved_.context, remarks);
    };
    MERGANSER_RETURN_IF_ERROR(check(recipe_.parameters, false));
    absl::Status status;
    for (size_t s = 0; s < Slices(); ++s) {
      if (!Whole()) MERGANSER_RETURN_IF_ERROR(check(recipe_.slices[s].parameters, false));
      ForEachModel(s, [&](const RecipeModel& model, const RecipeSource*) {
        if (status.ok()) status = check(model.parameters, true);
      });
    }
    resolved_.notes = UnusedNotes(remarks, resolved_.context);
    resolved_.warnings = std::move(remarks.warnings);
    return status;
  }

  // mergekit lets a slice have a base of its own; here all have the recipe's.
  absl::Status CheckSliceBases() const {
    for (size_t s = 0; s < recipe_.slices.size(); ++s) {
      const RecipeSlice& slice = recipe_.slices[s];
      if (!slice.base_model.has_value()) continue;
      const bool same = recipe_.base_model.has_value() && canonical_(*slice.base_model) == base_;
      if (same) continue;
      const std::string key = absl::StrCat("slices[", s, "].base_model");
      return WithPlace(
          absl::InvalidArgumentError(absl::StrCat(
              recipe_.source_name, ":", slice.base_line, ": key '", key, "': found ",
              Shown(*slice.base_model), ", which is not supported by this version; expected ",
              recipe_.base_model.has_value()
                  ? absl::StrCat(Shown(*recipe_.base_model), ", the recipe's own")
                  : "the same one in all slices, or base_model at the top of the recipe")),
          slice.base_line, key);
    }
    return absl::OkStatus();
  }

  absl::Status CheckBaseGiven() const {
    if (info_.base != BaseUse::kRequired || recipe_.base_model.has_value()) {
      return absl::OkStatus();
    }
    return WithPlace(
        absl::InvalidArgumentError(absl::StrCat(
            recipe_.source_name, ":", recipe_.method_line, ": key 'base_model': missing; ",
            std::string(info_.name),
            info_.name == "slerp"
                ? " goes from one model to another, expected the one at t = 0"
                : " merges task vectors, expected the model that the experts were trained from")),
        recipe_.method_line, "base_model");
  }

  // The base is no expert of itself.
  absl::Status ResolveBase() {
    if (!recipe_.base_model.has_value()) return absl::OkStatus();
    base_ = canonical_(*recipe_.base_model);
    bool listed = false;
    for (size_t s = 0; s < Slices(); ++s) {
      ForEachModel(s, [&](const RecipeModel& model, const RecipeSource*) {
        listed |= canonical_(model.model) == base_;
      });
    }
    apart_ = info_.base != BaseUse::kNone;
    // One that all models are alike to takes it as one more of them, as mergekit does.
    if (!apart_ && !listed && Whole() && info_.max_models == 0 && !NeedsPerModel()) {
      joined_ = RecipeModel{*recipe_.base_model, {}, recipe_.base_line};
      resolved_.warnings.push_back(absl::StrCat(
          recipe_.source_name, ":", recipe_.base_line, ": key 'base_model': ",
          Shown(*recipe_.base_model), " is not among the models: ", std::string(info_.name),
          " has no base and merges it as one more model, as mergekit does; list it there if that "
          "is "
          "meant, else leave the key out"));
      return absl::OkStatus();
    }
    if (!apart_ && !listed) {
      return WithPlace(absl::InvalidArgumentError(absl::StrCat(
                           recipe_.source_name, ":", recipe_.base_line,
                           ": key 'base_model': found ", Shown(*recipe_.base_model),
                           ", expected none, or one of the models: ", std::string(info_.name),
                           " merges whole models, so a base takes part only when listed")),
                       recipe_.base_line, "base_model");
    }
    if (!apart_) return absl::OkStatus();
    resolved_.base = *recipe_.base_model;
    names_.push_back(base_);
    return absl::OkStatus();
  }

  // Whether a model must have something of its own, such as a weight.
  bool NeedsPerModel() const {
    return std::any_of(info_.parameters.begin(), info_.parameters.end(),
                       [](const ParameterSpec& spec) { return spec.per_model && spec.required; });
  }

  absl::Status ResolveSlice(size_t s) {
    ResolvedSlice slice;
    if (!Whole()) {
      const RecipeSlice& given = recipe_.slices[s];
      slice.parameters = given.parameters;
      slice.layers = given.sources[0].end - given.sources[0].begin;
    }
    std::optional<ResolvedSource> base;
    if (apart_ && Whole()) base.emplace();
    bool base_twice = false;
    std::vector<const RecipeModel*> contributing;
    std::vector<const RecipeSource*> ranges;
    ForEachModel(s, [&](const RecipeModel& model, const RecipeSource* range) {
      if (apart_ && canonical_(model.model) == base_) {
        NoteBaseParameters(model);
        base_twice |= base.has_value();
        if (!base.has_value()) base = {0, range->begin, {}};
      } else if (AlwaysDropped(model, slice)) {
        dropped_.push_back(model.model);
      } else {
        contributing.push_back(&model);
        ranges.push_back(range);
      }
    });
    if (!Whole() && apart_ && (!base.has_value() || base_twice)) {
      return Wrong(s, absl::StrCat("found the base_model ", Shown(*recipe_.base_model),
                                   base_twice ? " more than once" : " nowhere",
                                   ", expected it once in every slice: ", std::string(info_.name),
                                   " compares the layers of the others with its own"));
    }
    MERGANSER_RETURN_IF_ERROR(CheckCount(s, contributing.size()));
    if (base.has_value()) slice.sources.push_back(*std::move(base));
    for (size_t i = 0; i < contributing.size(); ++i) {
      slice.sources.push_back({AddModel(contributing[i]->model),
                               ranges[i] == nullptr ? 0 : ranges[i]->begin,
                               contributing[i]->parameters});
    }
    resolved_.slices.push_back(std::move(slice));
    return absl::OkStatus();
  }

  // Once, however many slices there are.
  void NoteBaseParameters(const RecipeModel& model) {
    if (model.parameters.empty() || base_noted_) return;
    base_noted_ = true;
    resolved_.notes.push_back(
        absl::StrCat(recipe_.source_name, ":", model.parameters.begin()->second.line,
                     ": parameters of ", Shown(model.model),
                     ": accepted, but they have no effect here: it is the base_model, which ",
                     std::string(info_.name), " holds the others against"));
  }

  bool AlwaysDropped(const RecipeModel& model, const ResolvedSlice& slice) const {
    // A method of a fixed number of models gives 0 a meaning (one end of the way).
    if (info_.min_models == info_.max_models) return false;
    // A base gives config, tokenizer and order whatever its weight.
    if (recipe_.base_model.has_value() && canonical_(model.model) == base_) return false;
    for (const ParameterSpec& spec : info_.parameters) {
      if (spec.key != "weight" || !spec.per_model || !spec.no_effect.empty()) continue;
      return AlwaysZero(spec, {&model.parameters, &slice.parameters, &recipe_.parameters});
    }
    return false;
  }

  // A model listed twice among whole models is two models; slices name the same
  // one again and again.
  uint32_t AddModel(const std::string& model) {
    const std::string name = canonical_(model);
    if (!Whole()) {
      const auto known = std::find(names_.begin(), names_.end(), name);
      if (known != names_.end()) return static_cast<uint32_t>(known - names_.begin());
    }
    names_.push_back(name);
    resolved_.models.push_back(model);
    return static_cast<uint32_t>(names_.size() - 1);
  }

  // Of the models, or of a slice's.
  absl::Status Wrong(size_t s, const std::string& what) const {
    const int line = Whole() ? 0 : recipe_.slices[s].line;
    const std::string key = Whole() ? "models" : absl::StrCat("slices[", s, "].sources");
    return WithPlace(absl::InvalidArgumentError(
                         absl::StrCat(recipe_.source_name, line == 0 ? "" : absl::StrCat(":", line),
                                      ": key '", key, "': ", what)),
                     line, key);
  }

  absl::Status CheckCount(size_t s, size_t count) const {
    if (count == 0) {
      return Wrong(s, absl::StrCat("found no model that takes part, expected at least one",
                                   info_.base == BaseUse::kRequired ? " besides the base" : "",
                                   " with a weight other than 0"));
    }
    const bool few = count < info_.min_models;
    if (!few && (info_.max_models == 0 || count <= info_.max_models)) return absl::OkStatus();
    const bool fixed = info_.min_models == info_.max_models;
    return Wrong(s, absl::StrCat("found ", count, count == 1 ? " model" : " models",
                                 count == 1 ? " that takes part" : " that take part",
                                 resolved_.base.empty() ? "" : " besides the base", ", ",
                                 std::string(info_.name), " takes ",
                                 fixed ? "exactly "
                                 : few ? "at least "
                                       : "at most ",
                                 few ? info_.min_models : info_.max_models));
  }

  // A base that is one of the models gives config, order and tokenizer, as one
  // that stands apart does.
  void FindReference() {
    const auto found = std::find(names_.begin(), names_.end(), base_);
    if (found == names_.end()) return;
    resolved_.reference = static_cast<uint32_t>(found - names_.begin());
    resolved_.names_base = true;
  }

  void NoteDropped() {
    std::vector<std::string> noted;
    for (const std::string& model : dropped_) {
      const bool elsewhere =
          std::find(names_.begin(), names_.end(), canonical_(model)) != names_.end();
      if (elsewhere && Whole()) continue;  // listed twice, once with a weight
      if (std::find(noted.begin(), noted.end(), model) != noted.end()) continue;
      noted.push_back(model);
      resolved_.warnings.push_back(
          absl::StrCat("model ", Shown(model),
                       elsewhere ? " has weight 0 in a slice, where it" : " has weight 0 and",
                       " takes no part"));
    }
  }

  void NoteWithoutEffect() {
    for (const ParameterSpec& spec : info_.parameters) {
      if (spec.no_effect.empty()) continue;
      bool given = recipe_.parameters.contains(spec.key);
      for (size_t s = 0; s < Slices(); ++s) {
        given |= !Whole() && recipe_.slices[s].parameters.contains(spec.key);
        ForEachModel(s, [&](const RecipeModel& model, const RecipeSource*) {
          given |= model.parameters.contains(spec.key);
        });
      }
      if (!given) continue;
      resolved_.notes.push_back(
          absl::StrCat("parameter ", spec.key, " has no effect here: ", spec.no_effect));
    }
  }

  // Whether a filter or gradient decides anything anywhere.
  bool Varies() const {
    const auto varies = [](const RecipeParameters& parameters) {
      return std::any_of(parameters.begin(), parameters.end(),
                         [](const auto& entry) { return !entry.second.IsPlain(); });
    };
    bool found = varies(recipe_.parameters);
    for (const ResolvedSlice& slice : resolved_.slices) {
      found |= varies(slice.parameters);
      for (const ResolvedSource& source : slice.sources) found |= varies(source.parameters);
    }
    return found;
  }

  absl::Status SettleDefault() {
    absl::Status status;
    for (uint32_t s = 0; s < resolved_.slices.size() && status.ok(); ++s) {
      TensorPlace place;
      place.slice = s;
      absl::StatusOr<MethodConfig> config = resolved_.ConfigFor(place);
      // Makes what only the whole config can show wrong (weights that sum to
      // zero) an error of the recipe.
      status = config.ok() ? Annotate(MakeMethod(*config).status(), recipe_.source_name)
                           : config.status();
      if (status.ok() && s == 0) resolved_.config = *std::move(config);
    }
    if (status.ok() || !Varies()) return status;
    // Perhaps no tensor is without a filter that mends it: the plan will tell.
    resolved_.has_default = false;
    resolved_.config = {};
    resolved_.config.method = std::string(info_.name);
    resolved_.config.has_base = apart_;
    return absl::OkStatus();
  }

  const Recipe& recipe_;
  const MethodInfo& info_;
  const std::function<std::string(const std::string&)>& canonical_;
  ResolvedMethod resolved_;
  std::string base_;                   // canonical
  bool apart_ = false;                 // the base is no contributing model
  std::optional<RecipeModel> joined_;  // a base that is one more model
  bool base_noted_ = false;            // that its parameters have no effect
  std::vector<std::string> names_;     // of resolved_.inputs(), canonical
  std::vector<std::string> dropped_;   // as written
};

absl::StatusOr<const MethodInfo*> MethodOf(const Recipe& recipe) {
  if (const MethodInfo* info = FindMethod(recipe.merge_method); info != nullptr) return info;
  const std::string known =
      absl::StrJoin(Methods(), ", ",
                    [](std::string* out, const MethodInfo& method) { out->append(method.name); });
  return WithPlace(
      absl::InvalidArgumentError(absl::StrCat(
          recipe.source_name, ":", recipe.method_line, ": key 'merge_method': found \"",
          Shown(recipe.merge_method), "\", expected one of: ", known)),
      recipe.method_line, "merge_method");
}

}  // namespace

absl::Status CheckMethod(const Recipe& recipe) {
  MERGANSER_ASSIGN_OR_RETURN(const MethodInfo* const info, MethodOf(recipe));
  const std::function<std::string(const std::string&)> as_written = [](const std::string& model) {
    return model;
  };
  return Resolver(recipe, *info, as_written).Check();
}

absl::StatusOr<ResolvedMethod> ResolveMethod(
    const Recipe& recipe, const std::function<std::string(const std::string&)>& canonical) {
  MERGANSER_ASSIGN_OR_RETURN(const MethodInfo* const info, MethodOf(recipe));
  return Resolver(recipe, *info, canonical).Resolve();
}

}  // namespace merganser
