// Units of one job from its own process: `merganser merge`.
#ifndef MERGANSER_WORKER_SOURCES_IN_PROCESS_H_
#define MERGANSER_WORKER_SOURCES_IN_PROCESS_H_

#include <cstdint>
#include <cstddef>
#include <memory>
#include <vector>

#include "common/base/mutex.h"
#include "worker/unit_source.h"

namespace merganser {

struct RunProgress {
  uint32_t round = 0;
  uint32_t units_done = 0;  // of all rounds
  uint64_t bytes_done = 0;  // read for analysis, or written
};

// Hands out the plan's units in order, round by round. The first failure ends the
// run.
class InProcessSource final : public UnitSource {
 public:
  explicit InProcessSource(std::shared_ptr<const JobContext> job);

  absl::StatusOr<std::optional<LeasedUnit>> Next() override;
  bool Progress(const LeasedUnit& unit, uint64_t bytes) override;
  void Complete(const LeasedUnit& unit, UnitResult result) override;
  void Fail(const LeasedUnit& unit, absl::Status status) override;

  // Ends the run as kCancelled: units in flight are dropped.
  void Interrupt();

  RunProgress progress();

  // After the run: every unit's result, in unit order, or the first failure.
  absl::StatusOr<std::vector<UnitResult>> TakeResults();

 private:
  const std::shared_ptr<const JobContext> job_;
  Mutex mutex_;
  absl::Status status_ MERGANSER_GUARDED_BY(mutex_);
  CondVar changed_;  // a unit ended
  JobRounds rounds_ MERGANSER_GUARDED_BY(mutex_);
  size_t next_ MERGANSER_GUARDED_BY(mutex_) = 0;  // into rounds_.units()
  size_t done_ MERGANSER_GUARDED_BY(mutex_) = 0;  // of the round
  RunProgress progress_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_SOURCES_IN_PROCESS_H_
