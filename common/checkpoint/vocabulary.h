// What a tokenizer's tokens are called and numbered, to tell whether two models
// share their embeddings' rows.
#ifndef MERGANSER_COMMON_CHECKPOINT_VOCABULARY_H_
#define MERGANSER_COMMON_CHECKPOINT_VOCABULARY_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"

namespace merganser {

struct Vocabulary {
  std::string file;    // tokenizer.json, for messages
  std::string digest;  // of the file
  std::map<std::string, uint64_t, std::less<>> tokens;
  std::set<std::string, std::less<>> added;  // those of them that `added_tokens` has
};

// `model.vocab` and `added_tokens` of a tokenizer.json: an object, or of a
// Unigram model a list in token order. kDataLoss when `text` is no such JSON.
absl::StatusOr<Vocabulary> ParseVocabulary(std::string_view text);

// That of the model's tokenizer.json; nullopt where it has none.
absl::StatusOr<std::optional<Vocabulary>> ReadVocabulary(const Checkpoint& model);

// Whether both have the same tokens with the same numbers.
bool SameVocabulary(const Vocabulary& a, const Vocabulary& b);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_VOCABULARY_H_
