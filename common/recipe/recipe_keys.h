// The keys of mergekit's grammar and what becomes of each: the table that the reader goes by, and
// that RECIPE.md shows (`merganser keys --markdown`).
#ifndef MERGANSER_COMMON_RECIPE_RECIPE_KEYS_H_
#define MERGANSER_COMMON_RECIPE_RECIPE_KEYS_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace merganser {

enum class KeyVerdict {
  kAccepted,
  kNoted,    // changes nothing: a note says so
  kWarned,   // may be meant otherwise: a warning names both sides
  kRefused,  // an error says what to do
};
// "accepted", "noted", "warned", "refused".
std::string_view VerdictWord(KeyVerdict verdict);

// Where a key stands.
enum class KeyPlace {
  kTop,
  kModel,
  kSlice,
  kSource,
  kReference,
  kAdapter,
  kTokenizer,
  kTokenRule,
  kTokenRows,
  kParameters
};
// "the top of a recipe", ...
std::string_view PlaceWord(KeyPlace place);

struct RecipeKey {
  KeyPlace place;
  // Empty: a row for people, of something that is no key of its own.
  std::string_view key;
  KeyVerdict verdict;
  // What it means; why it changes nothing; both sides; what to do. A phrase, without a full stop:
  // notes, warnings and errors say it as it is, and so does the table.
  std::string_view about;
  // What to write at that place to get the verdict, as YAML in one line; tests hold the reader to
  // it. Empty where it takes models to tell.
  std::string_view example;
  // For people, where the key alone does not say which form is meant: "tokenizer_source: union".
  std::string_view form = {};
};

std::span<const RecipeKey> RecipeKeys();

// nullptr where there is none.
const RecipeKey* FindRecipeKey(KeyPlace place, std::string_view key);

// Those of `place` that are accepted, in the table's order: what messages list.
std::vector<std::string_view> KnownKeys(KeyPlace place);

// Whether some method of ours or mergekit's has a parameter of this name.
bool IsParameterWord(std::string_view word);

// Names that `chat_template` takes beside `auto`.
std::span<const std::string_view> ChatTemplateNames();

std::string RecipeKeysMarkdown();
std::string RecipeKeysJson();

}  // namespace merganser

#endif  // MERGANSER_COMMON_RECIPE_RECIPE_KEYS_H_
