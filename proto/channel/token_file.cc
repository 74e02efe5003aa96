#include "proto/channel/token_file.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
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
    if (words.size() > 2) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": found ", words.size(),
                       " words, expected a token and its roles with commas between them"));
    }
    if (words.size() == 2) entry.roles = absl::StrSplit(words[1], ',');
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
