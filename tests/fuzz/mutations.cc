#include "tests/fuzz/mutations.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"

namespace merganser::fuzz {
namespace {

constexpr std::string_view kPieces[] = {
    "{",      "}",       "[",       "]",     "\"",   ",",   ":",
    "\\",     "\\u0000", "\\ud800", "null",  "true", "NaN", "-1",
    "0",      "1",       ".5",      "1e999", "%",    "%00", "\n",
    "\r\n",   "\t",      " ",       "\xFF",  "..",   "/",   "//",
    "\n%%\n", "<",       "</",      "&#0;",  "]]>",  "- ",  "\xEF\xBB\xBF",
    "*",      "&a",      "*a",      "?",     ": ",   "|\n", "'",
    "=",      ";"};
constexpr std::string_view kNumbers[] = {"0",
                                         "1",
                                         "-1",
                                         "4294967295",
                                         "4294967297",
                                         "9223372036854775807",
                                         "-9223372036854775808",
                                         "18446744073709551615",
                                         "18446744073709551616",
                                         "1e30",
                                         "0.5"};

bool IsDigit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

// The run of digits at or behind `from`; empty where there is none.
std::pair<size_t, size_t> NumberAt(std::string_view text, size_t from) {
  const size_t begin = std::min(text.find_first_of("0123456789", from), text.size());
  size_t end = begin;
  while (end < text.size() && IsDigit(text[end])) ++end;
  return {begin, end - begin};
}

void Mutate(std::mt19937& random, std::string& text, std::string_view other) {
  const size_t at = random() % (text.size() + 1);
  switch (random() % 7) {
    case 0:
      if (at < text.size()) text[at] ^= static_cast<char>(1u << (random() % 8));
      break;
    case 1:
      text.erase(at, 1 + random() % 8);
      break;
    case 2:
      text.insert(at, kPieces[random() % std::size(kPieces)]);
      break;
    case 3: {
      const std::string piece = text.substr(random() % (text.size() + 1), random() % 64);
      text.insert(at, piece);
      break;
    }
    case 4: {
      const auto [begin, size] = NumberAt(text, at);
      if (size > 0) text.replace(begin, size, kNumbers[random() % std::size(kNumbers)]);
      break;
    }
    case 5:
      if (at < text.size()) text[at] = static_cast<char>(random() % 256);
      break;
    default:
      text.insert(at, other.substr(random() % (other.size() + 1), random() % 128));
  }
}

}  // namespace

std::string Mutated(std::mt19937& random, std::string input, std::string_view other) {
  const auto rounds = 1 + random() % 4;
  for (size_t i = 0; i < rounds; ++i) Mutate(random, input, other);
  return input;
}

std::vector<std::string> Deepened(std::string_view input, size_t most) {
  constexpr size_t kDepth = 100'000;
  std::string objects;
  for (size_t i = 0; i < kDepth; ++i) objects += "{\"a\":";
  const std::string deep[] = {absl::StrCat(std::string(kDepth, '['), std::string(kDepth, ']')),
                              absl::StrCat(objects, "1", std::string(kDepth, '}'))};
  std::vector<std::string> inputs;
  // Numbers stand for values.
  for (size_t at = 0; inputs.size() < most;) {
    const auto [begin, size] = NumberAt(input, at);
    if (size == 0) break;
    at = begin + size;
    if (begin > 0 && std::string_view(" :[,").find(input[begin - 1]) == std::string_view::npos) {
      continue;
    }
    const std::string& value = deep[inputs.size() % std::size(deep)];
    inputs.push_back(absl::StrCat(std::string(input.substr(0, begin)), value,
                                  std::string(input.substr(begin + size))));
  }
  return inputs;
}

}  // namespace merganser::fuzz
