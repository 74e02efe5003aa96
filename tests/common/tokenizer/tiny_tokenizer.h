// Tokenizers of a few tokens, as texts.
#ifndef MERGANSER_TESTS_COMMON_TOKENIZER_TINY_TOKENIZER_H_
#define MERGANSER_TESTS_COMMON_TOKENIZER_TINY_TOKENIZER_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/tokenizer/tokenizer_union.h"

namespace merganser {

struct TinyTokenizer {
  std::string kind = "BPE";
  std::vector<std::string> vocabulary = {};                  // texts of JSON: "\"a\": 0"
  std::vector<std::string> merges = {};                      // texts of JSON
  std::vector<std::pair<std::string, uint64_t>> added = {};  // special ones
  std::string model = "";  // more keys of the model: ", \"byte_fallback\": true"
  std::string rules = "";  // more keys of the tokenizer: ", \"normalizer\": null"

  std::string Json() const;
};

// An entry of added_tokens; `flags`: "special": true, ...
std::string AddedJson(const std::string& text, uint64_t number, const std::string& flags);

// A model's files, with `tokenizer` for its tokenizer.json.
TokenizerFiles Model(const std::string& name, const TinyTokenizer& tokenizer,
                     std::map<std::string, std::string, std::less<>> more = {}, uint64_t rows = 0);

// The numbers that loading gives the tokens of a tokenizer.json (and tokenizer_config.json).
std::map<std::string, uint64_t> Numbers(const std::string& tokenizer,
                                        const std::string& config = "{}");

// `first`'s files as the union leaves them.
std::map<std::string, std::string, std::less<>> After(const TokenizerFiles& first,
                                                      const UnitedTokenizer& united);

}  // namespace merganser

#endif  // MERGANSER_TESTS_COMMON_TOKENIZER_TINY_TOKENIZER_H_
