// How far a merge is, on stderr: one line that is rewritten on a terminal, else lines.
#ifndef MERGANSER_COORDINATOR_CLI_PROGRESS_H_
#define MERGANSER_COORDINATOR_CLI_PROGRESS_H_

#include <cstdint>
#include <functional>
#include <string>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"
#include "coordinator/cli/progress_meter.h"

namespace merganser::cli {

// Which lines there are where stderr is no terminal.
enum class PhaseLines {
  kAll,    // every 10 s, and at each change of phase
  kLater,  // nothing in the first 10 s: a short merge has nothing to say
};

// Shows what `sample` returns until it is destroyed: at most twice a second on a terminal, one line
// that is gone afterwards; else, or where the log has times, a line every 10 s and at each change
// of phase. Nothing where the system gives no thread for it.
class ProgressPrinter {
 public:
  // `sample` is called on a thread of the printer's.
  explicit ProgressPrinter(std::function<ProgressSample()> sample,
                           PhaseLines lines = PhaseLines::kLater);
  ~ProgressPrinter();
  ProgressPrinter(const ProgressPrinter&) = delete;
  ProgressPrinter& operator=(const ProgressPrinter&) = delete;

 private:
  void Loop();
  void Show(const ProgressMeter& meter, MonotonicTime now);

  const std::function<ProgressSample()> sample_;
  const PhaseLines lines_;
  const bool rewrites_;
  // Of the thread's own.
  MonotonicTime next_line_{};
  std::string told_;  // the phase of the last line
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ MERGANSER_GUARDED_BY(mutex_) = false;
  Thread thread_;
};

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_PROGRESS_H_
