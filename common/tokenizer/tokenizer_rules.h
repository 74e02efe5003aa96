// By what rules a tokenizer makes tokens of text, and whether those of two models are the same.
// Private to this folder.
#ifndef MERGANSER_COMMON_TOKENIZER_TOKENIZER_RULES_H_
#define MERGANSER_COMMON_TOKENIZER_TOKENIZER_RULES_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace merganser {

// Of a valid tokenizer.json all but its tokens, in one spelling: sequences as their steps, keys
// that have their default or change no token left out.
class TokenizerRules {
 public:
  struct Parts;

  explicit TokenizerRules(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}

  // An option of the model that is a text; empty where it is not.
  std::string Mark(const std::string& option) const;

  const Parts& parts() const { return *parts_; }

 private:
  std::shared_ptr<const Parts> parts_;
};
TokenizerRules ReadTokenizerRules(std::string_view text, std::string_view kind);

struct RuleDifference {
  std::string key;   // "pre_tokenizer", "model.byte_fallback"
  std::string what;  // "'Digits' here, none there"
  // Tokens of one do not mean under the other's rule what they mean under their own.
  bool tokens_differ = false;
  bool splits = false;  // text comes apart into other tokens
};
// The key of a difference that no vocabulary survives: characters stand for bytes in one only.
inline constexpr char kByteLevelRule[] = "byte-level tokens";

// What `other` has otherwise than `first`, of one kind of vocabulary.
std::vector<RuleDifference> CompareRules(const TokenizerRules& first, const TokenizerRules& other);

}  // namespace merganser

#endif  // MERGANSER_COMMON_TOKENIZER_TOKENIZER_RULES_H_
