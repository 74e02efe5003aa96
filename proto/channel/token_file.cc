#include "proto/channel/token_file.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"

namespace merganser {
namespace {

bool IsTokenText(std::string_view token) {
  while (!token.empty() && token.back() == '=') token.remove_suffix(1);
  return !token.empty() && std::all_of(token.begin(), token.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("-._~+/").find(c) != std::string_view::npos;
  });
}

bool IsNameText(std::string_view name) {
  return !name.empty() && name.size() <= kMaxTokenName &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                  std::string_view("-._@").find(c) != std::string_view::npos;
         });
}

}  // namespace

absl::Status CheckToken(std::string_view token, std::string_view what) {
  if (token.size() < kMinTokenChars || token.size() > kMaxTokenChars) {
    return absl::InvalidArgumentError(absl::StrCat(
        OneLine(what), ": found a token of ", token.size(), " characters, expected ",
        kMinTokenChars, " to ", kMaxTokenChars, "; make one with: openssl rand -hex 32"));
  }
  if (!IsTokenText(token)) {
    return absl::InvalidArgumentError(
        absl::StrCat(OneLine(what),
                     ": found a token with characters other than letters, digits, "
                     "\"-._~+/\" and '=' at its end; make one with: openssl rand "
                     "-hex 32"));
  }
  return absl::OkStatus();
}

std::string TokenFingerprint(std::string_view token) {
  constexpr size_t kShown = 4;
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), digest.data());
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), kShown));
}

bool SameToken(std::string_view shown, std::string_view known) {
  // Volatile, lest the loop be cut short once the outcome is known.
  volatile unsigned difference = shown.size() == known.size() ? 0 : 1;
  for (size_t i = 0; i < shown.size(); ++i) {
    difference = difference | static_cast<unsigned char>(shown[i] ^ known[i % known.size()]);
  }
  return difference == 0;
}

absl::StatusOr<std::vector<TokenLine>> ParseTokenLines(std::string_view text,
                                                       std::string_view name) {
  std::vector<TokenLine> lines;
  std::map<std::string, int> seen;
  int number = 0;
  for (const auto& piece : absl::StrSplit(absl::string_view(text.data(), text.size()), '\n')) {
    ++number;
    const auto line = absl::StripAsciiWhitespace(piece);
    if (line.empty() || line.front() == '#') continue;
    const std::string where = absl::StrCat(OneLine(name), ":", number);
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    TokenLine entry;
    entry.token = words[0];
    entry.line = number;
    MERGANSER_RETURN_IF_ERROR(CheckToken(entry.token, where));
    if (words.size() > 3) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": found ", words.size(),
                       " words, expected a token, its roles with commas between them, and a name"));
    }
    if (words.size() >= 2) entry.roles = absl::StrSplit(words[1], ',');
    if (words.size() == 3) entry.name = words[2];
    if (words.size() == 3 && !IsNameText(entry.name)) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": found a name of ", entry.name.size(),
                                                     " bytes, expected 1 to ", kMaxTokenName,
                                                     " letters, digits and \"-._@\""));
    }
    const auto [earlier, inserted] = seen.emplace(entry.token, number);
    if (!inserted) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": found the token of line ",
                                                     earlier->second,
                                                     " again, expected every token once"));
    }
    if (lines.size() == kMaxTokens) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": found more than ", kMaxTokens, " tokens"));
    }
    lines.push_back(std::move(entry));
  }
  if (lines.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(OneLine(name), ": found no token, expected lines of a token and its roles"));
  }
  return lines;
}

}  // namespace merganser
