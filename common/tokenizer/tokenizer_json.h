// The tokens of a tokenizer.json as it lists them. Private to this folder.
#ifndef MERGANSER_COMMON_TOKENIZER_TOKENIZER_JSON_H_
#define MERGANSER_COMMON_TOKENIZER_TOKENIZER_JSON_H_

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/tokenizer/tokenizer_tokens.h"

namespace merganser {

// Whether it is a kind of vocabulary of which ReadTokenizerJson reads the tokens.
bool IsKnownKind(std::string_view kind);

// Fills `table` with kind and vocabulary of the file's text, and with its merges if they are
// wanted. The result: its added tokens, in order, unnumbered but for what the file says. kDataLoss
// naming the key where something is not as the `tokenizers` library would read it.
absl::StatusOr<std::vector<TokenEntry>> ReadTokenizerJson(std::string_view text, bool with_merges,
                                                          TokenizerTokens& table);

}  // namespace merganser

#endif  // MERGANSER_COMMON_TOKENIZER_TOKENIZER_JSON_H_
