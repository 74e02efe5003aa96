#include "coordinator/service/auth/tokens.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "proto/channel/token_file.h"

namespace merganser {
namespace {

// In time that depends on the length of `shown` alone.
bool SameToken(std::string_view shown, std::string_view known) {
  // Volatile, lest the loop be cut short once the outcome is known.
  volatile unsigned difference = shown.size() == known.size() ? 0 : 1;
  for (size_t i = 0; i < shown.size(); ++i) {
    difference = difference | static_cast<unsigned char>(shown[i] ^ known[i % known.size()]);
  }
  return difference == 0;
}

}  // namespace

absl::StatusOr<TokenTable> TokenTable::Parse(std::string_view text, std::string_view name) {
  MERGANSER_ASSIGN_OR_RETURN(std::vector<TokenLine> lines, ParseTokenLines(text, name));
  TokenTable table;
  for (TokenLine& line : lines) {
    const std::string where = absl::StrCat(OneLine(name), ":", line.line);
    if (line.roles.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          where, ": found a token without roles, expected behind it read, submit, work or admin"));
    }
    Entry entry{std::move(line.token), RoleSet()};
    for (const std::string& role : line.roles) {
      absl::StatusOr<Role> parsed = ParseRole(role);
      if (!parsed.ok()) return Annotate(parsed.status(), where);
      entry.roles.Add(*parsed);
    }
    table.entries_.push_back(std::move(entry));
  }
  return table;
}

TokenTable TokenTable::Admin(std::string token) {
  TokenTable table;
  table.entries_.push_back({std::move(token), RoleSet(Role::kAdmin)});
  return table;
}

RoleSet TokenTable::Find(std::string_view token) const {
  RoleSet found;
  for (const Entry& entry : entries_) {
    const RoleSet none;
    found.Add(SameToken(token, entry.token) ? entry.roles : none);
  }
  return found;
}

}  // namespace merganser
