// The phases of a merge of this process, or of this run of MPI, for its progress line.
#ifndef MERGANSER_COORDINATOR_CLI_MERGE_PROGRESS_H_
#define MERGANSER_COORDINATOR_CLI_MERGE_PROGRESS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "common/base/mutex.h"
#include "common/engine/rounds.h"
#include "coordinator/cli/progress_meter.h"
#include "worker/round_feed.h"

namespace merganser::cli {

// Thread-safe.
class MergeProgress {
 public:
  // A phase in which no units are done: "planning", "publishing".
  void Enter(std::string phase);
  // Units are done from now on, in `rounds` rounds.
  void Run(const TotalWork& total, int rounds);

  // `progress` is the executor's.
  ProgressSample Sample(const RunProgress& progress);

 private:
  Mutex mutex_;
  std::string phase_ MERGANSER_GUARDED_BY(mutex_) = "planning";
  bool runs_ MERGANSER_GUARDED_BY(mutex_) = false;
  TotalWork total_ MERGANSER_GUARDED_BY(mutex_);
  int rounds_ MERGANSER_GUARDED_BY(mutex_) = 1;
};

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_MERGE_PROGRESS_H_
