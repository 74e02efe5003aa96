// The one place that takes secrets out of what is about to be logged. Messages are written so that
// they hold none; this is for those that slip into one by way of somebody else's text: a library's
// line, an answer of a server, a location that a user gave.
#ifndef MERGANSER_COMMON_BASE_REDACT_H_
#define MERGANSER_COMMON_BASE_REDACT_H_

#include <string>
#include <string_view>
#include <vector>

namespace merganser {

// What stands in place of a secret.
inline constexpr std::string_view kRedacted = "***";

// Thread-safe once made.
class Redactor {
 public:
  // What is shorter is no secret but a word that may stand in any line.
  static constexpr size_t kLeastSecret = 8;

  Redactor() = default;
  // `secrets`: values that this process knows to be secret. Those below kLeastSecret are ignored.
  explicit Redactor(std::vector<std::string> secrets);

  // `text` without any of the secrets, and without what looks like one:
  //   - in a URL the user part and the query, which is where signatures of signed URLs are;
  //   - what follows Bearer or Basic;
  //   - values of token, password, secret, signature, credential, api_key and names that end so,
  //     behind '=', or, where they look made by a machine, behind ':';
  //   - tokens of the Hugging Face hub (hf_...), access keys of AWS (their first four letters
  //     stay), and JSON web tokens.
  std::string Redact(std::string_view text) const;

 private:
  std::vector<std::string> secrets_;  // the longest first
};

// Secrets among what the environment of this process says: MERGANSER_TOKEN, HF_TOKEN, the tokens in
// MERGANSER_HTTPS_TOKENS, and the keys of AWS.
std::vector<std::string> SecretsOfEnvironment();

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_REDACT_H_
