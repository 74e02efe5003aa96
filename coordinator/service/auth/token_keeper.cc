#include "coordinator/service/auth/token_keeper.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "proto/channel/token_file.h"

namespace merganser {
namespace {

struct Read {
  TokenTable table;
  FileStamp stamp;
};

absl::StatusOr<Read> ReadTokens(const std::string& path) {
  MERGANSER_ASSIGN_OR_RETURN(const PrivateFile file, ReadPrivateFile(path, kMaxTokenFileBytes));
  MERGANSER_ASSIGN_OR_RETURN(TokenTable table, TokenTable::Parse(file.text, path));
  return Read{std::move(table), file.stamp};
}

}  // namespace

absl::StatusOr<std::unique_ptr<TokenKeeper>> TokenKeeper::FromFile(const std::string& path,
                                                                   LogSink log) {
  absl::StatusOr<Read> read = ReadTokens(path);
  if (!read.ok()) return Annotate(read.status(), "--token-file");
  std::unique_ptr<TokenKeeper> keeper(new TokenKeeper(path, std::move(log)));
  MutexLock lock(keeper->mutex_);
  keeper->stamp_ = read->stamp;
  keeper->table_ = std::make_shared<const TokenTable>(std::move(read->table));
  return keeper;
}

absl::StatusOr<std::unique_ptr<TokenKeeper>> TokenKeeper::FromToken(const std::string& token) {
  MERGANSER_RETURN_IF_ERROR(CheckToken(token, "MERGANSER_TOKEN"));
  std::unique_ptr<TokenKeeper> keeper(new TokenKeeper("", nullptr));
  MutexLock lock(keeper->mutex_);
  keeper->table_ = std::make_shared<const TokenTable>(TokenTable::Admin(token));
  return keeper;
}

std::shared_ptr<const TokenTable> TokenKeeper::Current() {
  LogLine line;
  std::shared_ptr<const TokenTable> table;
  {
    MutexLock lock(mutex_);
    const std::optional<FileStamp> stamp = path_.empty() ? std::nullopt : StampOf(path_);
    if (stamp != stamp_) {
      absl::StatusOr<Read> read = ReadTokens(path_);
      if (read.ok()) {
        stamp_ = read->stamp;
        table_ = std::make_shared<const TokenTable>(std::move(read->table));
        line.message = absl::StrCat("token file ", path_, ": found it changed; it holds ",
                                    table_->size(), " tokens now");
      } else {
        stamp_ = stamp;  // said once, until it changes again
        line = {LogLevel::kWarn, absl::StrCat("token file: ", std::string(read.status().message()),
                                              "; the tokens that it held before stay good")};
      }
    }
    table = table_;
  }
  if (log_ && !line.message.empty()) log_(line);
  return table;
}

}  // namespace merganser
