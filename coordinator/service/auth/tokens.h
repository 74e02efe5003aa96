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
  // One token for everything, named "admin".
  static TokenTable Admin(std::string token);

  // Who has `token`; without roles if it is none of these. A token whose line has no name
  // is called by the first 8 hex digits of its SHA-256. Every token is compared to its end,
  // so that the time tells neither which it was nor where it differs.
  Caller Find(std::string_view token) const;

  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string token;
    Caller caller;
  };
  std::vector<Entry> entries_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_AUTH_TOKENS_H_
