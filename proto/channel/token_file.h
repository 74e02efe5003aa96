// The file of tokens. Line by line: a token, then blanks, then the roles that it
// has, with commas between them, then, if you like, whose it is. Empty lines, and what
// follows a '#' that begins a line, are skipped:
//
//   # the night batch
//   4f0c9a7be2d14c50 submit alice
//   b1946ac92492d234 read,work
//
// A token has 16 to 512 of the characters that RFC 6750 allows in one: letters,
// digits, "-._~+/", and '=' at the end. A name has 1 to 64 letters, digits and "-._@",
// and is no role; several tokens may have the same. Pure; no message quotes a token.
#ifndef MERGANSER_PROTO_CHANNEL_TOKEN_FILE_H_
#define MERGANSER_PROTO_CHANNEL_TOKEN_FILE_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace merganser {

inline constexpr size_t kMinTokenChars = 16;
inline constexpr size_t kMaxTokenChars = 512;
inline constexpr size_t kMaxTokenName = 64;
inline constexpr size_t kMaxTokens = 10'000;
inline constexpr size_t kMaxTokenFileBytes = size_t{1} << 20;

struct TokenLine {
  std::string token;
  std::vector<std::string> roles;  // as written; none where the line has the token alone
  std::string name;                // empty where the line has none
  int line = 0;
};

// kInvalidArgument where `token` is none; `what` says whose it is.
absl::Status CheckToken(std::string_view token, std::string_view what);

// The first 8 hex digits of its SHA-256: tells tokens apart, and cannot be turned back into
// one.
std::string TokenFingerprint(std::string_view token);

// Whether `shown` is `known`, in time that depends on the length of `shown` alone.
bool SameToken(std::string_view shown, std::string_view known);

// At least one line, and no token twice; `name` is the file's.
absl::StatusOr<std::vector<TokenLine>> ParseTokenLines(std::string_view text,
                                                       std::string_view name);

}  // namespace merganser

#endif  // MERGANSER_PROTO_CHANNEL_TOKEN_FILE_H_
