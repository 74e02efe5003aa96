#include "common/base/redact.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace merganser {
namespace {

constexpr size_t npos = std::string_view::npos;
constexpr std::string_view kEnds = " \t\r\n\"'`<>";

bool IsWord(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); }
// Of a token as RFC 6750 and base64url have them.
bool IsToken(char c) { return IsWord(c) || absl::string_view("-._~+/=").find(c) != npos; }

size_t TokenEnd(std::string_view text, size_t begin) {
  size_t end = begin;
  while (end < text.size() && IsToken(text[end])) ++end;
  return end;
}

// Long, and not a word of a sentence.
bool LooksMade(std::string_view value) {
  return value.size() >= 12 && std::any_of(value.begin(), value.end(), [](char c) {
           return absl::ascii_isdigit(static_cast<unsigned char>(c)) ||
                  absl::ascii_isupper(static_cast<unsigned char>(c)) || c == '+' || c == '=';
         });
}

bool NamesSecret(std::string_view name) {
  static constexpr std::array<std::string_view, 9> kNames = {"token",   "password",   "passwd",
                                                             "secret",  "secret_key", "access_key",
                                                             "api_key", "apikey",     "signature"};
  const std::string lower = absl::AsciiStrToLower(absl::string_view(name.data(), name.size()));
  return lower == "sig" || lower == "credential" || absl::EndsWith(lower, "-credential") ||
         std::any_of(kNames.begin(), kNames.end(), [&](std::string_view one) {
           return absl::EndsWith(lower, absl::string_view(one.data(), one.size()));
         });
}

void Replace(std::string& text, size_t begin, size_t end) {
  text.replace(begin, end - begin, kRedacted);
}

void RedactKnown(std::string& text, const std::string& secret) {
  for (size_t at = text.find(secret); at != npos; at = text.find(secret, at + kRedacted.size())) {
    Replace(text, at, at + secret.size());
  }
}

void RedactUrls(std::string& text) {
  for (size_t at = text.find("://"); at != npos; at = text.find("://", at + 3)) {
    const size_t host = at + 3;
    const size_t path = std::min(text.find_first_of("/?#", host), text.size());
    const size_t word = std::min(text.find_first_of(kEnds, host), text.size());
    const size_t user = text.substr(host, std::min(path, word) - host).rfind('@');
    if (user != npos) Replace(text, host, host + user);
    const size_t end = std::min(text.find_first_of(kEnds, host), text.size());
    const size_t query = text.find('?', host);
    if (query < end) Replace(text, query + 1, end);
  }
}

void RedactSchemes(std::string& text, std::string_view scheme) {
  for (size_t at = 0; at + scheme.size() + 1 < text.size(); ++at) {
    if (!absl::EqualsIgnoreCase(absl::string_view(text).substr(at, scheme.size()),
                                absl::string_view(scheme.data(), scheme.size())) ||
        text[at + scheme.size()] != ' ') {
      continue;
    }
    const size_t begin = at + scheme.size() + 1;
    const size_t end = TokenEnd(text, begin);
    if (LooksMade(std::string_view(text).substr(begin, end - begin))) Replace(text, begin, end);
  }
}

// "name=value" and "name: value", also in quotes.
void RedactPairs(std::string& text) {
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '=' && text[at] != ':') continue;
    const bool certain = text[at] == '=';
    size_t name_end = at;
    if (name_end > 0 && text[name_end - 1] == '"') --name_end;
    size_t name = name_end;
    while (name > 0 && (IsWord(text[name - 1]) || text[name - 1] == '_' || text[name - 1] == '-')) {
      --name;
    }
    if (!NamesSecret(std::string_view(text).substr(name, name_end - name))) continue;
    size_t begin = at + 1;
    if (!certain && begin < text.size() && text[begin] == ' ') ++begin;
    if (begin < text.size() && text[begin] == '"') ++begin;
    size_t end = TokenEnd(text, begin);
    while (end < text.size() && text[end] == '%') end = TokenEnd(text, end + 1);
    const std::string_view value = std::string_view(text).substr(begin, end - begin);
    if (value.empty() || (!certain && !LooksMade(value))) continue;
    Replace(text, begin, end);
  }
}

// Words that begin so and go on with `least` or more of letters, digits, '_', '-' and '.'.
void RedactShapes(std::string& text, std::string_view beginning, size_t least, size_t kept) {
  for (size_t at = text.find(beginning); at != npos; at = text.find(beginning, at + 1)) {
    if (at > 0 && IsWord(text[at - 1])) continue;
    size_t end = at + beginning.size();
    while (end < text.size() && (IsWord(text[end]) || absl::string_view("_-.").find(text[end]) !=
                                                          absl::string_view::npos)) {
      ++end;
    }
    if (end - at - beginning.size() >= least) Replace(text, at + kept, end);
  }
}

}  // namespace

Redactor::Redactor(std::vector<std::string> secrets) : secrets_(std::move(secrets)) {
  std::erase_if(secrets_, [](const std::string& secret) { return secret.size() < kLeastSecret; });
  std::sort(secrets_.begin(), secrets_.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() > b.size() : a < b;
  });
}

std::string Redactor::Redact(std::string_view given) const {
  std::string text(given);
  for (const std::string& secret : secrets_) RedactKnown(text, secret);
  RedactUrls(text);
  RedactSchemes(text, "bearer");
  RedactSchemes(text, "basic");
  RedactPairs(text);
  RedactShapes(text, "hf_", 16, 3);
  RedactShapes(text, "AKIA", 12, 4);
  RedactShapes(text, "ASIA", 12, 4);
  RedactShapes(text, "eyJ", 24, 3);
  return text;
}

std::vector<std::string> SecretsOfEnvironment() {
  std::vector<std::string> secrets;
  for (const char* name : {"MERGANSER_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN",
                           "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}) {
    if (const char* value = std::getenv(name); value != nullptr) secrets.emplace_back(value);
  }
  if (const char* tokens = std::getenv("MERGANSER_HTTPS_TOKENS"); tokens != nullptr) {
    for (const absl::string_view pair : absl::StrSplit(tokens, absl::ByAnyChar(", \t\r\n"))) {
      const size_t equals = pair.find('=');
      if (equals != absl::string_view::npos) secrets.emplace_back(pair.substr(equals + 1));
    }
  }
  return secrets;
}

}  // namespace merganser
