// Whose vocabulary an output has, and where the rows of its tokens are in every model. Private to
// this folder.
#ifndef MERGANSER_COMMON_TOKENIZER_MATCH_VOCABULARIES_H_
#define MERGANSER_COMMON_TOKENIZER_MATCH_VOCABULARIES_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/vocabulary.h"
#include "common/checkpoint/vocabulary_rows.h"

namespace merganser {

// The vocabularies of the models that are merged, as far as they tell: none where a model has no
// tokenizer.json. Models with the same file share one.
using Vocabularies = std::vector<std::shared_ptr<const Vocabulary>>;

absl::StatusOr<Vocabularies> ReadVocabularies(
    const std::vector<std::shared_ptr<const Checkpoint>>& models);

// What the output's embeddings are to be.
struct WantedRows {
  std::string place;  // "recipe.yaml:7: key 'tokenizer_source': ", or empty; for messages
  // Of the output; null where its tokenizer does not tell.
  const Vocabulary* vocabulary = nullptr;
  uint64_t rows = 0;
  std::string whose;  // "model 'base'" or "the union": whose vocabulary it is
};

// What there is to say of rows, a line for every way in which models differ.
struct RowRemarks {
  std::vector<std::string> matched;  // what became of tokens: as the tokenizers tell
  std::vector<std::string> doubts;   // rows that went by number, tokens that have none
};

// More rows than any vocabulary has: what asks for them is wrong or means harm.
inline constexpr uint64_t kMaxTokenRows = uint64_t{1} << 22;

// The rows of `wanted` in models that have `vocabularies` and `stored` rows of embeddings, none of
// them more than kMaxTokenRows.
VocabularyRows MatchVocabularies(const WantedRows& wanted,
                                 const std::vector<std::shared_ptr<const Checkpoint>>& models,
                                 const Vocabularies& vocabularies,
                                 const std::vector<uint64_t>& stored, RowRemarks& remarks);

}  // namespace merganser

#endif  // MERGANSER_COMMON_TOKENIZER_MATCH_VOCABULARIES_H_
