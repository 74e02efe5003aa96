#include "tests/fuzz/check.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/utf8.h"

namespace merganser::fuzz {

void Require(bool holds, std::string_view what, std::string_view detail,
             std::source_location place) {
  if (holds) return;
  constexpr size_t kShown = 2000;
  const std::string shown = OneLine(std::string(detail.substr(0, kShown)));
  std::fprintf(stderr, "%s:%u: broken: %.*s: %s\n", place.file_name(),
               static_cast<unsigned>(place.line()), static_cast<int>(what.size()), what.data(),
               shown.c_str());
  std::fflush(stderr);
  std::abort();
}

void RequireRefusal(const absl::Status& status, std::initializer_list<absl::StatusCode> codes,
                    std::source_location place) {
  const std::string_view message(status.message().data(), status.message().size());
  Require(std::find(codes.begin(), codes.end(), status.code()) != codes.end(),
          "the error has another code than is promised", status.ToString(), place);
  Require(!message.empty(), "the error says nothing", status.ToString(), place);
  Require(message.size() <= kMostMessage, "the message is as long as the input",
          absl::StrCat(message.size(), " bytes: ", std::string(message)), place);
  Require(message.find('\n') == std::string_view::npos, "the message has several lines", message,
          place);
  Require(!FirstInvalidUtf8(message).has_value(), "the message is no UTF-8", message, place);
}

std::vector<std::string_view> PartsOf(std::string_view input, size_t count) {
  constexpr std::string_view kBetween = "\n%%\n";
  std::vector<std::string_view> parts;
  parts.reserve(count);
  while (parts.size() + 1 < count) {
    const size_t at = input.find(kBetween);
    parts.push_back(input.substr(0, at));
    input.remove_prefix(at == std::string_view::npos ? input.size() : at + kBetween.size());
  }
  parts.push_back(input);
  return parts;
}

uint64_t NumberIn(std::string_view text, uint64_t most) {
  uint64_t number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9' || number > most) break;
    number = number * 10 + static_cast<uint64_t>(c - '0');
  }
  return std::min(number, most);
}

}  // namespace merganser::fuzz
