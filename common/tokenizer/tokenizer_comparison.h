// What one model's tokenizer has otherwise than the output's, in words. Private to this folder.
#ifndef MERGANSER_COMMON_TOKENIZER_TOKENIZER_COMPARISON_H_
#define MERGANSER_COMMON_TOKENIZER_TOKENIZER_COMPARISON_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"
#include "common/tokenizer/tokenizer_facts.h"

namespace merganser {

// A model, as far as its tokenizer goes. The model must outlive it.
struct TokenizerSide {
  explicit TokenizerSide(const Checkpoint& of) : model(of), folder(of), vocabulary(folder, facts) {}
  TokenizerSide(const TokenizerSide&) = delete;
  TokenizerSide& operator=(const TokenizerSide&) = delete;

  // Sets `facts`; errors as ReadTokenizerFacts.
  absl::Status Read();

  const Checkpoint& model;
  const ModelFolder folder;
  TokenizerFacts facts;
  LazyVocabulary vocabulary;
};

// What the output will have, and what of it is compared.
struct OutputTokens {
  TokenizerSide* tokenizer = nullptr;  // of the model that gives it
  // What generation goes by.
  std::map<std::string, SaidNumbers, std::less<>> numbers;
  bool generation = false;  // it has a generation_config.json
  bool vocabularies = true;
  bool chat_templates = true;
};

struct TokenizerDifferences {
  // What the model has and the output has not, each as a phrase: "a chat template (the output:
  // none)".
  std::vector<std::string> items;
  bool both_have_more = false;  // each of the two has tokens that the other lacks
};

// Nothing is said of what only the output has, of a model without a tokenizer, of padding with
// another special token, and of what classes of tokenizers and configs may have without a word.
// Errors are of files that cannot be read.
absl::StatusOr<TokenizerDifferences> CompareTokenizer(TokenizerSide& model,
                                                      const OutputTokens& output);

}  // namespace merganser

#endif  // MERGANSER_COMMON_TOKENIZER_TOKENIZER_COMPARISON_H_
