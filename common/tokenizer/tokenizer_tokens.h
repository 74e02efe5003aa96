// The tokens of one model's tokenizer files, numbered as those who load them do. Private to this
// folder.
#ifndef MERGANSER_COMMON_TOKENIZER_TOKENIZER_TOKENS_H_
#define MERGANSER_COMMON_TOKENIZER_TOKENIZER_TOKENS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/tokenizer/tokenizer_union.h"

namespace merganser {

struct TokenFlags {
  bool special = false;
  bool lstrip = false;
  bool rstrip = false;
  bool single_word = false;
  bool normalized = false;
  bool operator==(const TokenFlags&) const = default;
};

struct TokenEntry {
  std::string text;
  uint64_t number = 0;           // that loading gives it
  bool in_vocabulary = false;    // of the tokenizer's model
  bool added = false;            // matched as a whole before text is split
  bool listed = false;           // under added_tokens of tokenizer.json
  bool settled = false;          // under added_tokens_decoder of tokenizer_config.json
  TokenFlags flags;              // of an added one
  std::string score;             // in Unigram's list, as written
  std::optional<uint64_t> said;  // the number that the files give an added token
};

// What a tokenizer.json holds, in the order of the file, and what the other files add to it.
struct TokenizerTokens {
  std::string kind;  // BPE, Unigram, WordPiece or WordLevel
  std::vector<TokenEntry> tokens;
  std::unordered_map<std::string, size_t> index;  // by text
  std::vector<size_t> added;                      // in the order in which they are loaded
  uint64_t vocabulary_size = 0;                   // as the `tokenizers` library counts it
  bool has_added_tokens = false;                  // whether tokenizer.json has the key at all
  bool has_merges = false;                        // BPE: the key
  bool merges_are_pairs = false;                  // ["a","b"], not "a b"; of none: true
  std::vector<std::pair<std::string, std::string>> merges;  // BPE, where they were asked for

  const TokenEntry* Find(const std::string& text) const;
};

// Reads `files`, which have a tokenizer.json; with_merges: the merges of BPE too, of which there
// may be hundreds of thousands. kDataLoss naming file and key; kInvalidArgument for a kind of
// vocabulary that is unknown.
//
// Numbers come about as in `tokenizers` and transformers: the vocabulary's are its own (of Unigram
// the place in the list), an added token that is in the vocabulary has that number, and the others
// follow in the order of the file, whatever number it gives them. Behind these come tokens that
// only tokenizer_config.json (added_tokens_decoder, else special_tokens_map.json and
// added_tokens.json) has, by their numbers there, and special tokens that nothing else has.
absl::StatusOr<TokenizerTokens> ReadTokenTable(const TokenizerFiles& files, bool with_merges);

// How the library numbers added tokens that are no vocabulary: versions before 0.23 behind the
// largest number of an added token, if that is behind the vocabulary; later ones from the
// vocabulary's size on, one by one. These differ where a vocabulary leaves numbers out.
enum class NumberingRule { kBehindLargest, kCounted };
// The numbers of added tokens that are loaded in this order; nullopt stands for one that is no
// vocabulary, else its number there.
std::vector<uint64_t> NumberAdded(const std::vector<std::optional<uint64_t>>& in_vocabulary,
                                  uint64_t vocabulary_size, NumberingRule rule);

// Tokens that the files beside tokenizer.json name, in the order in which transformers add them.
struct SettledToken {
  std::string text;
  TokenFlags flags;
  bool decoder = false;  // under added_tokens_decoder: flags there hold
  std::optional<uint64_t> said;
};
absl::StatusOr<std::vector<SettledToken>> ReadSettledTokens(const TokenizerFiles& files);

// A file's name in messages.
std::string TokenizerPlace(const TokenizerFiles& files, std::string_view name);

}  // namespace merganser

#endif  // MERGANSER_COMMON_TOKENIZER_TOKENIZER_TOKENS_H_
