// Tokens that close the metrics to all but those who have one.
#ifndef MERGANSER_COORDINATOR_HTTP_SITE_METRICS_TOKENS_H_
#define MERGANSER_COORDINATOR_HTTP_SITE_METRICS_TOKENS_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/base/private_file.h"

namespace merganser::http {

// Thread-safe.
class MetricsTokens {
 public:
  // The tokens of a file that is private (ReadPrivateFile), one a line (ParseTokenLines; roles and
  // names mean nothing), looked at again with every question. A file that has gone bad is logged
  // once, and what it held last stays good.
  static absl::StatusOr<std::unique_ptr<MetricsTokens>> Open(const std::string& path, LogSink log);

  // Whether it is one of them; in time that does not tell which.
  bool Holds(std::string_view token) MERGANSER_EXCLUDES(mutex_);

 private:
  MetricsTokens(std::string path, LogSink log) : path_(std::move(path)), log_(std::move(log)) {}

  const std::string path_;
  const LogSink log_;
  Mutex mutex_;
  std::optional<FileStamp> stamp_ MERGANSER_GUARDED_BY(mutex_);
  std::vector<std::string> tokens_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_SITE_METRICS_TOKENS_H_
