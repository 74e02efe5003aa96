// Metrics in a file, for node_exporter's textfile collector: what runs in a batch system, where
// nobody scrapes, is seen all the same.
#ifndef MERGANSER_COORDINATOR_CLI_METRICS_FILE_H_
#define MERGANSER_COORDINATOR_CLI_METRICS_FILE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/exposition.h"
#include "common/base/metrics.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"

namespace merganser::cli {

// Has `registry` in the file `path` at once, every `period`, and when it is closed. Each time the
// file is replaced as a whole: a reader sees the old one or the new one. It stays when the process
// ends. A file that cannot be written is a warning on stderr, once, and nothing else.
//
// An empty path: no file. Adds what the build is (merganser_build_info) and when the process began
// to the registry.
class MetricsFile {
 public:
  MetricsFile(std::string path, std::shared_ptr<MetricRegistry> registry, CommonLabels labels = {},
              Duration period = std::chrono::seconds(10));
  ~MetricsFile();  // as Close
  MetricsFile(const MetricsFile&) = delete;
  MetricsFile& operator=(const MetricsFile&) = delete;

  // Writes it for the last time.
  void Close();

 private:
  void Loop();
  void Write() MERGANSER_EXCLUDES(mutex_);

  const std::string path_;
  const std::shared_ptr<MetricRegistry> registry_;
  const CommonLabels labels_;
  const Duration period_;
  bool warned_ = false;  // of whoever writes: the thread, then Close
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ MERGANSER_GUARDED_BY(mutex_) = false;
  Thread thread_;
};

// Replaces the file at `path` by one that holds `text`. The error names the file.
absl::Status ReplaceFile(const std::string& path, const std::string& text);

// Adds the label that `text` says, "NAME=VALUE". kInvalidArgument, with what was expected, where it
// says none, or one that metrics or Prometheus have themselves.
absl::Status AddCommonLabel(const std::string& text, CommonLabels& labels);

// Where rank `rank` has its metrics when `path` was asked for: rank 0 there, others beside it
// ("a.prom" and "a.rank3.prom").
std::string MetricsFileOfRank(const std::string& path, int rank);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_METRICS_FILE_H_
