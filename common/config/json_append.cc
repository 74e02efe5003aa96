#include "common/config/json_append.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"

namespace merganser {
namespace {

constexpr std::string_view kSpaces = " \t\r\n";

size_t SkipSpaces(std::string_view text, size_t at) {
  return std::min(text.find_first_not_of(kSpaces, at), text.size());
}

// `at` is a quote.
size_t SkipString(std::string_view text, size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return std::min(at + 1, text.size());
}

// `at` is the first byte of a value.
size_t SkipValue(std::string_view text, size_t at) {
  size_t depth = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '"') {
      at = SkipString(text, at);
    } else if (c == '{' || c == '[') {
      ++depth;
      ++at;
    } else if (c == '}' || c == ']') {
      if (depth == 0) return at;  // behind a number or a word
      --depth;
      ++at;
    } else if (depth == 0 && (c == ',' || kSpaces.find(c) != kSpaces.npos)) {
      return at;
    } else {
      ++at;
      continue;
    }
    if (depth == 0) return at;
  }
  return at;
}

std::string Decoded(std::string_view quoted) {
  if (quoted.find('\\') == quoted.npos) return std::string(quoted.substr(1, quoted.size() - 2));
  const nlohmann::json key = nlohmann::json::parse(quoted, nullptr, /*allow_exceptions=*/false);
  return key.is_string() ? key.get<std::string>() : std::string();
}

std::optional<JsonMember> Find(std::string_view text, const std::vector<std::string_view>& path) {
  JsonMember found{"", SkipSpaces(text, 0), 0};
  found.end = SkipValue(text, found.begin);
  for (const std::string_view key : path) {
    const std::vector<JsonMember> members = JsonMembers(text, found.begin);
    const auto member = std::find_if(members.rbegin(), members.rend(),
                                     [&](const JsonMember& one) { return one.key == key; });
    if (member == members.rend()) return std::nullopt;
    found = *member;
  }
  return found;
}

// What stands before an element at `depth`, but for a comma.
std::string Lead(const JsonLayout& layout, size_t depth) {
  if (!layout.lines) return "";
  std::string lead = "\n";
  for (size_t i = 0; i < depth; ++i) lead += layout.indent;
  return lead;
}

}  // namespace

std::vector<JsonMember> JsonMembers(std::string_view text, size_t begin) {
  std::vector<JsonMember> members;
  size_t at = SkipSpaces(text, begin);
  if (at >= text.size() || text[at] != '{') return members;
  for (++at;;) {
    at = SkipSpaces(text, at);
    if (at < text.size() && text[at] == ',') at = SkipSpaces(text, at + 1);
    if (at >= text.size() || text[at] != '"') return members;
    const size_t key = at;
    at = SkipString(text, at);
    JsonMember member{Decoded(text.substr(key, at - key)), 0, 0};
    at = SkipSpaces(text, at);  // the colon
    member.begin = SkipSpaces(text, std::min(at + 1, text.size()));
    member.end = at = SkipValue(text, member.begin);
    members.push_back(std::move(member));
  }
}

std::optional<std::string_view> JsonAt(std::string_view text,
                                       const std::vector<std::string_view>& path) {
  const std::optional<JsonMember> found = Find(text, path);
  if (!found.has_value()) return std::nullopt;
  return text.substr(found->begin, found->end - found->begin);
}

JsonLayout LayoutOf(std::string_view text) {
  JsonLayout layout{"  ", " ", true};
  const size_t open = SkipSpaces(text, 0);
  const size_t first = SkipSpaces(text, std::min(open + 1, text.size()));
  if (first >= text.size() || text[first] != '"') return layout;  // empty
  const std::string_view lead = text.substr(open + 1, first - open - 1);
  layout.lines = lead.find('\n') != lead.npos;
  layout.indent = layout.lines ? std::string(lead.substr(lead.rfind('\n') + 1)) : "";
  const size_t colon = SkipSpaces(text, SkipString(text, first));
  layout.space = colon + 1 < text.size() && text[colon + 1] == ' ' ? " " : "";
  return layout;
}

std::string EncloseJson(const JsonLayout& layout, size_t depth, char open, char close,
                        const std::vector<std::string>& items) {
  std::string out(1, open);
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) absl::StrAppend(&out, ",", layout.lines ? "" : layout.space);
    absl::StrAppend(&out, Lead(layout, depth + 1), items[i]);
  }
  if (!items.empty()) out += Lead(layout, depth);
  out += close;
  return out;
}

std::optional<std::string> AppendJson(std::string_view text,
                                      const std::vector<JsonAddition>& additions) {
  const JsonLayout layout = LayoutOf(text);
  std::vector<std::pair<size_t, std::string>> pieces;  // what is put where
  for (const JsonAddition& addition : additions) {
    const std::optional<JsonMember> into = Find(text, addition.path);
    if (!into.has_value() || into->end <= into->begin + 1) return std::nullopt;
    const char open = text[into->begin];
    if (open != '[' && open != '{') return std::nullopt;
    const size_t depth = addition.path.size();
    const size_t last = text.find_last_not_of(kSpaces, into->end - 2);
    std::string piece;
    bool first = last == into->begin;
    for (const std::string& item : addition.items) {
      if (!first) absl::StrAppend(&piece, ",", layout.lines ? "" : layout.space);
      first = false;
      absl::StrAppend(&piece, Lead(layout, depth + 1), item);
    }
    // An empty one mostly ends where it begins.
    if (last == into->begin && last + 2 == into->end && !addition.items.empty()) {
      piece += Lead(layout, depth);
    }
    pieces.emplace_back(last + 1, std::move(piece));
  }
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string out;
  size_t size = text.size();
  for (const auto& [at, piece] : pieces) size += piece.size();
  out.reserve(size);
  size_t from = 0;
  for (const auto& [at, piece] : pieces) {
    out.append(text.substr(from, at - from)).append(piece);
    from = at;
  }
  out.append(text.substr(from));
  return out;
}

}  // namespace merganser
