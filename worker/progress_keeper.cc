#include "worker/progress_keeper.h"

#include <utility>
#include <vector>

#include "common/base/guarded.h"
#include "common/base/status.h"

namespace merganser {

ProgressKeeper::ProgressKeeper(std::shared_ptr<const JobContext> job, ProgressLog log,
                               const Options& options, std::function<void(absl::Status)> failed)
    : job_(std::move(job)),
      told_when_durable_(options.told_when_durable),
      failed_(std::move(failed)),
      log_(std::move(log)),
      recorded_(options.earlier),
      batcher_(
          options.period, [this](std::span<WrittenUnit> batch) { Record(batch); },
          options.metrics) {
  if (batcher_.started().ok()) return;
  {
    MutexLock lock(mutex_);
    failure_ = batcher_.started();
  }
  failed_(batcher_.started());
}

ProgressKeeper::~ProgressKeeper() { (void)Finish(/*keep=*/false); }

void ProgressKeeper::Add(UnitResult result) {
  {
    MutexLock lock(mutex_);
    if (!failure_.ok()) return;
  }
  LeasedUnit unit;
  unit.job = job_;
  unit.unit = result.unit;
  unit.round = result.round;
  batcher_.Add({std::move(unit), std::move(result), told_when_durable_});
}

absl::Status ProgressKeeper::RecordBatch(std::span<WrittenUnit> batch) {
  std::vector<UnitResult> results;
  results.reserve(batch.size());
  for (WrittenUnit& written : batch) {
    if (!written.status.ok()) return written.status;
    if (!told_when_durable_ && written.result.stages.flush > 0) {
      MutexLock lock(mutex_);
      flush_seconds_[written.result.unit] += written.result.stages.flush;
    }
    results.push_back(std::move(written.result));
  }
  return log_.Append(results);
}

void ProgressKeeper::Record(std::span<WrittenUnit> batch) {
  {
    MutexLock lock(mutex_);
    if (!failure_.ok()) return;
  }
  const absl::Status status = Guarded([&] { return RecordBatch(batch); });
  {
    MutexLock lock(mutex_);
    if (status.ok()) {
      recorded_ = true;
      return;
    }
    failure_ = status;
    if (finishing_) return;
  }
  failed_(status);
}

bool ProgressKeeper::Finish(bool keep) {
  {
    MutexLock lock(mutex_);
    if (std::exchange(finishing_, true)) return recorded_;
  }
  batcher_.Stop();
  {
    MutexLock lock(mutex_);
    if (!keep || !recorded_) return recorded_;
  }
  batcher_.SettleRest();
  return true;
}

void ProgressKeeper::AddFlushTimes(std::vector<UnitResult>& results) {
  MutexLock lock(mutex_);
  for (UnitResult& result : results) {
    const auto found = flush_seconds_.find(result.unit);
    if (found != flush_seconds_.end()) result.stages.flush += found->second;
  }
}

absl::Status ProgressKeeper::status() {
  MutexLock lock(mutex_);
  return failure_;
}

}  // namespace merganser
