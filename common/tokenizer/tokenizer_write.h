// The files of a tokenizer with more tokens. Private to this folder.
#ifndef MERGANSER_COMMON_TOKENIZER_TOKENIZER_WRITE_H_
#define MERGANSER_COMMON_TOKENIZER_TOKENIZER_WRITE_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/tokenizer/tokenizer_tokens.h"
#include "common/tokenizer/tokenizer_union.h"

namespace merganser {

// What comes into the first model's tokenizer.
struct TokenAdditions {
  std::vector<TokenEntry> tokens;  // in order of their numbers, which are settled
  std::vector<std::pair<std::string, std::string>> merges;  // BPE, behind the first's
  bool plain = false;                                       // some tokens are plain vocabulary
};

// Whether a file is a tokenizer of its own, which holds tokens that tokenizer.json holds as well:
// tokenizer.model, vocab.json, merges.txt and their like.
bool IsSlowTokenizerFile(std::string_view name);

// Sets `written` and `left_out` of `united`, and notes what is left out. `table` is of `first`;
// there is at least one token more. kInvalidArgument naming the first model where no tokenizer.json
// gives every token its number.
absl::Status WriteTokenizer(const TokenizerFiles& first, const TokenizerTokens& table,
                            const TokenAdditions& more, UnitedTokenizer& united);

}  // namespace merganser

#endif  // MERGANSER_COMMON_TOKENIZER_TOKENIZER_WRITE_H_
