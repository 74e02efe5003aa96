// Progress on stderr: a bar on a terminal, plain lines otherwise.
#ifndef MERGANSER_COORDINATOR_CLI_PROGRESS_H_
#define MERGANSER_COORDINATOR_CLI_PROGRESS_H_

#include <cstdint>
#include <functional>
#include <string>

#include "common/base/mutex.h"
#include "common/base/thread.h"

namespace merganser::cli {

struct ProgressSample {
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
  uint64_t units_done = 0;
  uint64_t units_total = 0;
  std::string note;  // "3 workers"
};

// One line for `sample` after `seconds`: share, bytes, rate, time left.
std::string ProgressLine(const ProgressSample& sample, double seconds);

// Shows what `sample` returns until it is destroyed; nothing where the system gives no
// thread for it.
class ProgressPrinter {
 public:
  explicit ProgressPrinter(std::function<ProgressSample()> sample);
  ~ProgressPrinter();
  ProgressPrinter(const ProgressPrinter&) = delete;
  ProgressPrinter& operator=(const ProgressPrinter&) = delete;

 private:
  void Loop();

  const std::function<ProgressSample()> sample_;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ MERGANSER_GUARDED_BY(mutex_) = false;
  Thread thread_;
};

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_PROGRESS_H_
