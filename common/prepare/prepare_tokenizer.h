// The tokenizer of an output, and its chat template. Private to this folder.
#ifndef MERGANSER_COMMON_PREPARE_PREPARE_TOKENIZER_H_
#define MERGANSER_COMMON_PREPARE_PREPARE_TOKENIZER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/vocabulary_rows.h"
#include "common/prepare/prepare.h"

namespace merganser {

// The models of a recipe, as far as they are open.
struct TokenizerModels {
  std::vector<std::string> inputs;                        // those that are merged, as written
  std::vector<std::shared_ptr<const Checkpoint>> opened;  // of these, one each
  std::vector<std::string> named;                         // all that the recipe names
  std::function<std::string(const std::string&)> canonical;
  // A model of which no more than its small files is wanted.
  std::function<absl::StatusOr<std::shared_ptr<const Checkpoint>>(const std::string&)> open_small;

  // The model of this name among those that are merged; nullptr where it is none of them.
  std::shared_ptr<const Checkpoint> Opened(const std::string& name) const;
};

// "recipe.yaml:7: key 'tokenizer_source'".
std::string PlaceOfKey(const PreparedMerge& prepared, int line, const std::string& key);

// What it comes to beside the files of the output.
struct SettledTokenizer {
  // Where the rows of the output's tokens are; none where all models have them at the same places.
  std::optional<VocabularyRows> rows;
  std::vector<std::string> notes, warnings;
};

// Whose tokenizer the output gets, and where the rows of its tokens are. Rows go by their tokens
// where the recipe asks for a tokenizer or where models have other numbers of rows; else by their
// numbers. Sets `prepared.tokenizer` and, of a union, `prepared.tokenizer_files`;
// `prepared.reference` and `recipe` are set.
absl::StatusOr<SettledTokenizer> SettleTokenizer(const TokenizerModels& models,
                                                 PreparedMerge& prepared);

// Sets `prepared.chat_template` where the recipe asks for another one than the tokenizer has;
// after SettleTokenizer. Says in notes what `auto` came to.
absl::Status SettleChatTemplate(const TokenizerModels& models, PreparedMerge& prepared);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PREPARE_PREPARE_TOKENIZER_H_
