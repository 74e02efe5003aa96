// What one vocabulary has otherwise than another, counted, with the first few by name. Pure.
#ifndef MERGANSER_COMMON_CHECKPOINT_VOCABULARY_DIFFERENCES_H_
#define MERGANSER_COMMON_CHECKPOINT_VOCABULARY_DIFFERENCES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/checkpoint/vocabulary.h"

namespace merganser {

// Differences of one kind are shown up to this many.
inline constexpr size_t kShownTokens = 3;

struct TokenDifference {
  std::string token;
  uint64_t number = 0;        // in the vocabulary that is compared
  uint64_t other_number = 0;  // of `moved`: in the other one
  std::string other_token;    // of `respelt`: what has the number in the other one
};

struct VocabularyDifferences {
  struct Kind {
    size_t count = 0;
    std::vector<TokenDifference> first;  // added tokens before others, then by number
  };
  Kind more;           // tokens that the other lacks, at numbers that it does not use
  Kind moved;          // in both, under other numbers
  Kind respelt;        // tokens that the other lacks, at numbers that it uses for others
  size_t missing = 0;  // tokens that only the other has

  bool any() const { return more.count + moved.count + respelt.count > 0; }
};

// Of `found`, held against `other`.
VocabularyDifferences CompareVocabularies(const Vocabulary& found, const Vocabulary& other);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_VOCABULARY_DIFFERENCES_H_
