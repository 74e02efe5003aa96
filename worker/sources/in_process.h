// Units of one job from its own process: `merganser merge`.
#ifndef MERGANSER_WORKER_SOURCES_IN_PROCESS_H_
#define MERGANSER_WORKER_SOURCES_IN_PROCESS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "common/base/mutex.h"
#include "worker/round_feed.h"
#include "worker/unit_source.h"

namespace merganser {

// Hands out the plan's units in order, round by round. The first failure ends the
// run.
class InProcessSource final : public UnitSource {
 public:
  // `done`: results of an earlier run of the same plan, whose bytes are durable;
  // their units are not handed out again. `completed` sees every result of this
  // run, before it counts.
  explicit InProcessSource(std::shared_ptr<const JobContext> job, std::vector<UnitResult> done = {},
                           std::function<void(const UnitResult&)> completed = {});

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
  // After all units: notes whether that was the end.
  absl::Status AtEnd() MERGANSER_REQUIRES(mutex_);

  const std::shared_ptr<const JobContext> job_;
  const std::function<void(const UnitResult&)> completed_;
  Mutex mutex_;
  absl::Status status_ MERGANSER_GUARDED_BY(mutex_);
  CondVar changed_;  // a unit ended
  RoundFeed feed_ MERGANSER_GUARDED_BY(mutex_);
  bool ended_ MERGANSER_GUARDED_BY(mutex_) = false;
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_SOURCES_IN_PROCESS_H_
