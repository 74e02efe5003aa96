#include "common/recipe/recipe_keys.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace merganser {
namespace {

using enum KeyPlace;
using enum KeyVerdict;

constexpr std::string_view kWords[] = {"alpha",
                                       "combine",
                                       "density",
                                       "eps",
                                       "epsilon",
                                       "filter_wise",
                                       "gamma",
                                       "head_ratio_budget",
                                       "importance",
                                       "lambda",
                                       "max_iter",
                                       "normalize",
                                       "normalize_weights",
                                       "nuslerp_flatten",
                                       "nuslerp_row_wise",
                                       "r",
                                       "rank_topk",
                                       "rescale",
                                       "roles",
                                       "rows",
                                       "scale",
                                       "scope",
                                       "seed",
                                       "select_topk",
                                       "src_beta_max",
                                       "src_beta_min",
                                       "strength",
                                       "t",
                                       "threshold",
                                       "tol",
                                       "weight"};

constexpr std::string_view kTemplates[] = {"alpaca", "chatml", "exaone", "llama3", "mistral"};

std::string Cell(std::string_view text) {
  return absl::StrReplaceAll(std::string(text), {{"|", "\\|"}});
}

std::string Quoted(std::string_view text) { return absl::StrCat("\"", std::string(text), "\""); }

std::string JsonText(std::string_view text) {
  return Quoted(absl::StrReplaceAll(std::string(text), {{"\\", "\\\\"}, {"\"", "\\\""}}));
}

}  // namespace

std::string_view VerdictWord(KeyVerdict verdict) {
  switch (verdict) {
    case kAccepted:
      return "accepted";
    case kNoted:
      return "noted";
    case kWarned:
      return "warned";
    case kRefused:
      return "refused";
  }
  return "";
}

std::string_view PlaceWord(KeyPlace place) {
  switch (place) {
    case kTop:
      return "the recipe";
    case kModel:
      return "a model of `models`";
    case kSlice:
      return "a slice";
    case kSource:
      return "a source of a slice";
    case kReference:
      return "a model's long form";
    case kAdapter:
      return "an adapter of `lora`";
    case kTokenizer:
      return "`tokenizer`";
    case kTokenRule:
      return "a token of `tokenizer.tokens`";
    case kTokenRows:
      return "`source` of a token";
    case kParameters:
      return "`parameters`";
  }
  return "";
}

const RecipeKey* FindRecipeKey(KeyPlace place, std::string_view key) {
  for (const RecipeKey& one : RecipeKeys()) {
    if (!one.key.empty() && one.place == place && one.key == key) return &one;
  }
  return nullptr;
}

std::vector<std::string_view> KnownKeys(KeyPlace place) {
  std::vector<std::string_view> keys;
  for (const RecipeKey& one : RecipeKeys()) {
    if (one.place == place && one.verdict == kAccepted && !one.key.empty()) keys.push_back(one.key);
  }
  return keys;
}

bool IsParameterWord(std::string_view word) {
  return std::find(std::begin(kWords), std::end(kWords), word) != std::end(kWords);
}

std::span<const std::string_view> ChatTemplateNames() { return kTemplates; }

std::string RecipeKeysMarkdown() {
  std::string out =
      "| where | key | is | meaning, reason, or what to do |\n| --- | --- | --- | --- |\n";
  for (const RecipeKey& one : RecipeKeys()) {
    if (one.about.empty()) continue;
    const std::string shown(one.form.empty() ? one.key : one.form);
    absl::StrAppend(&out, "| ", std::string(PlaceWord(one.place)), " | `", Cell(shown), "` | ",
                    std::string(VerdictWord(one.verdict)), " | ", Cell(one.about), " |\n");
  }
  return out;
}

std::string RecipeKeysJson() {
  std::string out = "{\"keys\": [";
  for (const RecipeKey& one : RecipeKeys()) {
    absl::StrAppend(&out, &one == &RecipeKeys().front() ? "\n" : ",\n",
                    " {\"in\": ", JsonText(PlaceWord(one.place)), ", \"key\": ", JsonText(one.key),
                    ", \"form\": ", JsonText(one.form),
                    ", \"verdict\": ", JsonText(VerdictWord(one.verdict)),
                    ", \"about\": ", JsonText(one.about), "}");
  }
  return absl::StrCat(out, "\n]}\n");
}

}  // namespace merganser
