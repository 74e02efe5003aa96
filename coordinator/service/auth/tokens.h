// The tokens of a coordinator and what each is for.
#ifndef MERGANSER_COORDINATOR_SERVICE_AUTH_TOKENS_H_
#define MERGANSER_COORDINATOR_SERVICE_AUTH_TOKENS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/service/auth/roles.h"

namespace merganser {

// Immutable; thread-safe.
class TokenTable {
 public:
  // The grammar of proto/channel/token_file.h, with roles on every line. `name` is
  // the file's. No message quotes a token.
  static absl::StatusOr<TokenTable> Parse(std::string_view text, std::string_view name);
  // One token for everything.
  static TokenTable Admin(std::string token);

  // The roles of `token`; empty if it is none of these. Takes as long whichever
  // token it is and wherever it differs: every token is compared to its end.
  RoleSet Find(std::string_view token) const;

  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string token;
    RoleSet roles;
  };
  std::vector<Entry> entries_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_AUTH_TOKENS_H_
