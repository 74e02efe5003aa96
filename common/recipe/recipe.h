// The merge recipe: mergekit's YAML grammar, extended. Which parameters exist
// is the business of the methods (common/methods/parameters.h); this layer knows
// the grammar.
#ifndef MERGANSER_COMMON_RECIPE_RECIPE_H_
#define MERGANSER_COMMON_RECIPE_RECIPE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "common/recipe/model_ref.h"
#include "common/tensor/dtype.h"

namespace merganser {

// A value as written, with its place in the recipe for messages.
struct RecipeValue {
  std::variant<bool, double, std::string> value;
  int line = 0;  // from 1
};

// What tensors whose name contains `filter` have. Several values are a gradient
// of numbers, spread evenly over the layers of a slice and interpolated between.
struct RecipeCondition {
  std::string filter;               // empty: every tensor
  std::vector<RecipeValue> values;  // never empty
  int line = 0;
};

// A parameter: the first condition that a tensor's name meets counts. Where none
// is met, the next wider place that has the parameter is asked.
struct RecipeSetting {
  std::vector<RecipeCondition> conditions;  // never empty
  int line = 0;

  // nullptr where no condition is met.
  const RecipeCondition* Match(std::string_view tensor) const {
    for (const RecipeCondition& condition : conditions) {
      if (tensor.find(condition.filter) != std::string_view::npos) return &condition;
    }
    return nullptr;
  }
  // One value, whatever the tensor.
  bool IsPlain() const { return conditions[0].filter.empty() && conditions[0].values.size() == 1; }
};
using RecipeParameters = std::map<std::string, RecipeSetting>;

struct RecipeModel {
  std::string model;  // as written
  RecipeParameters parameters;
  int line = 0;
};

// Layers [begin, end) of a model.
struct RecipeSource : RecipeModel {
  uint64_t begin = 0;
  uint64_t end = 0;
};

// Layers of the output, merged from as many layers of every source.
struct RecipeSlice {
  std::vector<RecipeSource> sources;  // never empty, all of one length
  RecipeParameters parameters;
  std::optional<std::string> base_model;  // as written; must be the recipe's own
  int base_line = 0;
  int line = 0;
};

// Where a token's rows in embeddings come from (mergekit's `tokenizer: {tokens: ...}`).
struct TokenRule {
  enum class Kind {
    kNone,        // as without a rule
    kModel,       // from `model`, where others lack the token
    kModelToken,  // those of another token of `model`
    kZero,        // zeros
  };
  std::string token;
  Kind kind = Kind::kNone;
  std::string model;                        // as written
  std::optional<std::string> source_token;  // of kModelToken, one of the two
  std::optional<uint64_t> source_token_id;
  bool force = false;  // for all models, also those that have the token
  int line = 0;
};

// Whose tokenizer the output gets.
struct TokenizerSource {
  bool base = false;  // the base model, else the first
  bool any = false;   // `union`: the vocabularies must be equal, and then it is the base's
  std::string model;  // as written, where it is not `base`
  std::vector<TokenRule> rules;     // one a token, as written
  uint64_t pad_to_multiple_of = 0;  // of the embeddings' rows; 0: not said
  std::string key = "tokenizer_source";
  int line = 0;
};

// The chat template of the output's tokenizer.
struct ChatTemplate {
  std::string value;  // "auto", one of ChatTemplateNames(), or the template's text
  int line = 0;
};

struct Recipe {
  std::string source_name;  // the file, for messages; "recipe" when submitted as text
  std::string text;         // verbatim
  std::string name;         // of a stage among others; else it has no effect
  std::string merge_method;
  int method_line = 0;
  std::optional<std::string> base_model;
  int base_line = 0;
  // Either of them is empty.
  std::vector<RecipeModel> models;  // whole
  std::vector<RecipeSlice> slices;  // stacked in this order
  // What those names of models mean, here and wherever else a model is named, that are models with
  // adapters on them.
  std::map<std::string, ModelRef> adapted;
  RecipeParameters parameters;
  std::optional<TokenizerSource> tokenizer;
  std::optional<ChatTemplate> chat_template;
  std::optional<DType> out_dtype;  // `out_dtype`, else `dtype`
  // `out_dtype: source`: tensors that are stored block-scaled in the model that gives names and
  // dtypes are so in the output.
  bool out_source = false;
  // F16 or BF16: what adapters' products are rounded to before they are added, as PEFT does.
  std::optional<DType> lora_dtype;
  int lora_dtype_line = 0;  // 0: not said
  // Models whose tensors have other names, in one way alone, are taken under the base's.
  bool rename = false;
  // Models that share whole parts with the base are merged over these. Not with slices.
  bool allow_partial = false;
  uint64_t max_shard_size = 5'000'000'000;
  // Units grow by whole segments until they write at least this much: large
  // enough for an S3 part (5 MiB) and to amortise a lease, small enough to lose.
  uint64_t unit_size = uint64_t{16} << 20;
  // A tensor whose output is larger is cut into pieces, where its method allows
  // that; if its gate spans them, they are read once more for every round.
  uint64_t split_size = uint64_t{128} << 20;
  std::vector<std::string> notes;     // keys accepted without effect (int8_mask, ...)
  std::vector<std::string> warnings;  // what may be meant otherwise than it is taken
};

// Largest recipe that is read.
inline constexpr size_t kMaxRecipeBytes = 1 << 20;

// Errors are kInvalidArgument of the form
//   SOURCE:LINE: key 'parameters.rank_topk': found "one", expected a number
// An unknown key names the nearest known one; one that is near to none is a warning
// (recipe_keys.h has the whole table). Aliases and anchors are allowed, a document bomb is not:
// nodes are counted while they are expanded.
// `stage`: one of several (stages.h), whose name has its effect.
absl::StatusOr<Recipe> ParseRecipe(std::string_view text, std::string_view source_name,
                                   bool stage = false);

// The folders that `model`, a name in `recipe`, is made of: itself, or base and adapters.
std::vector<std::string> PartsOfModel(const Recipe& recipe, const std::string& model);

}  // namespace merganser

#endif  // MERGANSER_COMMON_RECIPE_RECIPE_H_
