#include "coordinator/cli/merge_progress.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace merganser::cli {

void MergeProgress::Enter(std::string phase) {
  MutexLock lock(mutex_);
  phase_ = std::move(phase);
  runs_ = false;
}

void MergeProgress::Run(const TotalWork& total, int rounds) {
  MutexLock lock(mutex_);
  runs_ = true;
  total_ = total;
  rounds_ = rounds;
}

ProgressSample MergeProgress::Sample(const RunProgress& progress) {
  MutexLock lock(mutex_);
  ProgressSample sample;
  sample.phase = phase_;
  sample.moves = runs_;
  if (!runs_) return sample;
  const int round = std::min(static_cast<int>(progress.round) + 1, rounds_);
  sample.phase = rounds_ == 1 ? "merging" : absl::StrCat("round ", round, " of ", rounds_);
  sample.bytes_done = progress.bytes_done;
  sample.bytes_total = total_.bytes;
  sample.units_done = progress.units_done;
  sample.units_total = total_.units;
  return sample;
}

}  // namespace merganser::cli
