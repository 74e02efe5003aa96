// One tokenizer of several models' (`tokenizer_source: union`): the first model's, in which every
// token keeps its number, and behind it the tokens that only others have. Pure: texts of files in,
// texts of files out.
#ifndef MERGANSER_COMMON_TOKENIZER_TOKENIZER_UNION_H_
#define MERGANSER_COMMON_TOKENIZER_TOKENIZER_UNION_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace merganser {

// The tokenizer files of one model, by name: tokenizer.json, tokenizer_config.json,
// special_tokens_map.json and added_tokens.json with their text; of others (tokenizer.model,
// vocab.json, merges.txt, ...) an empty text: they are there.
struct TokenizerFiles {
  std::string model;  // as the recipe writes it, for messages
  std::string where;  // describes the folder, for messages
  std::map<std::string, std::string, std::less<>> texts;
  uint64_t rows = 0;  // of the model's embedding; tokens numbered at or above have none. 0: unknown
};

struct UnitedTokenizer {
  // Files of the output that are not the first model's own, whole, by name. None where no other
  // model has a token that the first lacks.
  std::map<std::string, std::string, std::less<>> written;
  // Files of the first model that know nothing of the tokens that came in, and would be believed.
  std::vector<std::string> left_out;
  std::vector<std::string> notes, warnings;  // one line each
  std::vector<std::string> added;            // tokens that the first lacks, in order of numbers
};

// Every token of `models` with one number each: those of the first keep theirs, the others' follow
// behind the largest, in the order of models and of their numbers there. A number is what the
// `tokenizers` library and transformers give a token when they load the files, whatever the files
// say (tokenizer_tokens.h).
//
// What is an added token in its model comes in as one, with its flags; what is plain vocabulary
// as that: appended to Unigram's list with its score, to the vocabulary of WordPiece and WordLevel,
// and to that of BPE with the merges that make it, behind all merges of the first. Then text may be
// split otherwise than by either model, which is a warning; without plain tokens text is split as
// by the first.
//
// kInvalidArgument naming the model that has no tokenizer.json, another kind of vocabulary, or
// plain tokens that belong to other rules of splitting than the first has (byte-level, byte
// fallback, marks of words; of BPE any normalizer or pre_tokenizer). kDataLoss naming file and key
// where a file is malformed.
absl::StatusOr<UnitedTokenizer> UniteTokenizers(const std::vector<TokenizerFiles>& models);

}  // namespace merganser

#endif  // MERGANSER_COMMON_TOKENIZER_TOKENIZER_UNION_H_
