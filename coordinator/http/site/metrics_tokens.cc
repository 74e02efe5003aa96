#include "coordinator/http/site/metrics_tokens.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "proto/channel/token_file.h"

namespace merganser::http {
namespace {

struct Read {
  std::vector<std::string> tokens;
  FileStamp stamp;
};

absl::StatusOr<Read> ReadTokens(const std::string& path) {
  MERGANSER_ASSIGN_OR_RETURN(const PrivateFile file, ReadPrivateFile(path, kMaxTokenFileBytes));
  MERGANSER_ASSIGN_OR_RETURN(std::vector<TokenLine> lines, ParseTokenLines(file.text, path));
  Read read{{}, file.stamp};
  for (TokenLine& line : lines) read.tokens.push_back(std::move(line.token));
  return read;
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsTokens>> MetricsTokens::Open(const std::string& path,
                                                                   LogSink log) {
  absl::StatusOr<Read> read = ReadTokens(path);
  if (!read.ok()) return Annotate(read.status(), "--metrics-token");
  std::unique_ptr<MetricsTokens> tokens(new MetricsTokens(path, std::move(log)));
  MutexLock lock(tokens->mutex_);
  tokens->stamp_ = read->stamp;
  tokens->tokens_ = std::move(read->tokens);
  return tokens;
}

bool MetricsTokens::Holds(std::string_view token) {
  std::string line;
  bool found = false;
  {
    MutexLock lock(mutex_);
    if (const std::optional<FileStamp> stamp = StampOf(path_); stamp != stamp_) {
      absl::StatusOr<Read> read = ReadTokens(path_);
      stamp_ = read.ok() ? read->stamp : stamp;
      if (read.ok()) {
        tokens_ = std::move(read->tokens);
      } else {
        line = absl::StrCat("--metrics-token: ", std::string(read.status().message()),
                            "; the tokens that it held before stay good");
      }
    }
    for (const std::string& known : tokens_) found |= SameToken(token, known);
  }
  if (!line.empty()) Log(log_, LogLevel::kWarn, line);
  return found;
}

}  // namespace merganser::http
