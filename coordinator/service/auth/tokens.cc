#include "coordinator/service/auth/tokens.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "proto/channel/token_file.h"

namespace merganser {

absl::StatusOr<TokenTable> TokenTable::Parse(std::string_view text, std::string_view name) {
  MERGANSER_ASSIGN_OR_RETURN(std::vector<TokenLine> lines, ParseTokenLines(text, name));
  TokenTable table;
  std::map<std::string, int> unnamed;  // by fingerprint: the line
  for (TokenLine& line : lines) {
    const std::string where = absl::StrCat(OneLine(name), ":", line.line);
    if (line.roles.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          where, ": found a token without roles, expected behind it read, submit, work or admin"));
    }
    if (ParseRole(line.name).ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": found the name \"", line.name,
                       "\", which is a role; roles have commas between them and no blanks"));
    }
    if (line.name.empty()) {
      line.name = TokenFingerprint(line.token);
      const auto [earlier, inserted] = unnamed.emplace(line.name, line.line);
      if (!inserted) {
        return absl::InvalidArgumentError(
            absl::StrCat(where, ": found a token whose SHA-256 begins as that of line ",
                         earlier->second, " does; give one a name"));
      }
    }
    Entry entry{std::move(line.token), Caller{std::move(line.name), RoleSet()}};
    for (const std::string& role : line.roles) {
      absl::StatusOr<Role> parsed = ParseRole(role);
      if (!parsed.ok()) return Annotate(parsed.status(), where);
      entry.caller.roles.Add(*parsed);
    }
    table.entries_.push_back(std::move(entry));
  }
  return table;
}

TokenTable TokenTable::Admin(std::string token) {
  TokenTable table;
  table.entries_.push_back({std::move(token), Caller{"admin", RoleSet(Role::kAdmin)}});
  return table;
}

Caller TokenTable::Find(std::string_view token) const {
  size_t found = entries_.size();
  for (size_t i = 0; i < entries_.size(); ++i) {
    found = SameToken(token, entries_[i].token) ? i : found;
  }
  return found == entries_.size() ? Caller() : entries_[found].caller;
}

}  // namespace merganser
