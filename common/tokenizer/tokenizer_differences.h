// What is to be said of models whose tokens are united. Private to this folder.
#ifndef MERGANSER_COMMON_TOKENIZER_TOKENIZER_DIFFERENCES_H_
#define MERGANSER_COMMON_TOKENIZER_TOKENIZER_DIFFERENCES_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "common/tokenizer/tokenizer_union.h"

namespace merganser {

// Some names out of many, for a message: how many they are, and the first few.
class NamedFew {
 public:
  void Add(const std::string& name);
  size_t count() const { return count_; }
  bool empty() const { return count_ == 0; }
  // "3 tokens ('a', 'b', 'c')"; "token 'a'".
  std::string Tokens() const;

 private:
  std::vector<std::string> first_;
  size_t count_ = 0;
};

// Lines about models; what is said of several is one line.
class ModelLines {
 public:
  // `text` goes on after "model 'x': ".
  void Add(const std::string& model, std::string text);
  // In the order in which texts came up.
  std::vector<std::string> Lines() const;

 private:
  std::vector<std::pair<std::string, std::vector<std::string>>> texts_;  // and their models
};

// Tokens of a model that the union has in another way.
struct TokenDifferences {
  NamedFew moved;  // another number
  std::string example;
  NamedFew flags;                   // of added tokens
  NamedFew plain_here, added_here;  // what is the other in the union
  NamedFew rowless;                 // numbered beyond the model's rows
};
// Adds lines on them; `first`: the model that the union is made from.
void SayDifferences(const TokenizerFiles& files, const std::string& first,
                    const TokenDifferences& found, ModelLines& notes, ModelLines& warnings);

}  // namespace merganser

#endif  // MERGANSER_COMMON_TOKENIZER_TOKENIZER_DIFFERENCES_H_
