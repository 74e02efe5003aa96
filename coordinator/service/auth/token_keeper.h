// Keeps a coordinator's tokens up to date with their file.
#ifndef MERGANSER_COORDINATOR_SERVICE_AUTH_TOKEN_KEEPER_H_
#define MERGANSER_COORDINATOR_SERVICE_AUTH_TOKEN_KEEPER_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/base/private_file.h"
#include "coordinator/service/auth/tokens.h"

namespace merganser {

// Thread-safe.
class TokenKeeper {
 public:
  // The tokens of a file (ReadPrivateFile, TokenTable::Parse), looked at again with
  // every call: a change counts from then on. A file that has gone bad, or is gone,
  // is logged once, and the tokens that it held last stay good. No line shows a token.
  static absl::StatusOr<std::unique_ptr<TokenKeeper>> FromFile(const std::string& path,
                                                               LogSink log);
  // One token, with role admin, for good.
  static absl::StatusOr<std::unique_ptr<TokenKeeper>> FromToken(const std::string& token);

  std::shared_ptr<const TokenTable> Current();

 private:
  TokenKeeper(std::string path, LogSink log) : path_(std::move(path)), log_(std::move(log)) {}

  const std::string path_;  // empty without a file
  const LogSink log_;
  Mutex mutex_;
  std::optional<FileStamp> stamp_ MERGANSER_GUARDED_BY(mutex_);  // looked at last; none: gone
  std::shared_ptr<const TokenTable> table_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_AUTH_TOKEN_KEEPER_H_
