// Where the large parts of a tokenizer.json stand. Pure.
#ifndef MERGANSER_COMMON_CHECKPOINT_TOKENIZER_SECTIONS_H_
#define MERGANSER_COMMON_CHECKPOINT_TOKENIZER_SECTIONS_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace merganser {

struct TokenizerSections {
  struct Span {
    size_t begin = 0, end = 0;  // bytes; empty where the key is not there
  };
  Span vocab, merges;  // the values of model.vocab and model.merges, bracket to bracket
};

// Looks at brackets and quotes alone, and so at a tenth of what reading costs: what a section has
// in it is not checked. nullopt where it is not found like this, or more than once.
std::optional<TokenizerSections> FindTokenizerSections(std::string_view text);

// `text` with empty values in the place of the merges, and of the vocabulary too unless
// `keep_vocab`.
std::string WithoutSections(std::string_view text, const TokenizerSections& sections,
                            bool keep_vocab);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_TOKENIZER_SECTIONS_H_
