#include "worker/durable_batcher.h"

#include "common/base/guarded.h"
#include "common/base/status.h"
#include "common/engine/rounds.h"

namespace merganser {
namespace {

// What analysis keeps is durable already.
bool NeedsFlush(const WrittenUnit& written) {
  return !written.durable && IsLastRound(written.unit.job->plan, written.unit.round);
}

uint32_t ShardOf(const JobContext& job, uint32_t unit) { return job.plan.units[unit].shard; }

}  // namespace

DurableBatcher::DurableBatcher(Duration period, Settled settled,
                               std::shared_ptr<MetricRegistry> metrics)
    : period_(period), settled_(std::move(settled)), metrics_(std::move(metrics)) {
  absl::StatusOr<Thread> thread = Thread::Start([this] { Loop(); });
  if (thread.ok()) {
    thread_ = *std::move(thread);
  } else {
    started_ = thread.status();
  }
}

DurableBatcher::~DurableBatcher() { Stop(); }

DurableBatcher::Failures DurableBatcher::FailuresOf(const Place& place) const {
  const auto found = failures_.find(place);
  if (found == failures_.end()) return everywhere_;
  return {found->second.count + everywhere_.count, found->second.last};
}

uint64_t DurableBatcher::FailedFlushes(const JobContext& job, uint32_t unit) {
  const Place place(job.uid, ShardOf(job, unit));
  MutexLock lock(mutex_);
  return FailuresOf(place).count;
}

void DurableBatcher::Add(WrittenUnit written) {
  MutexLock lock(mutex_);
  written_.push_back(std::move(written));
  changed_.NotifyAll();
}

void DurableBatcher::Hurry() {
  MutexLock lock(mutex_);
  hurry_ = true;
  changed_.NotifyAll();
}

void DurableBatcher::Flush(std::vector<WrittenUnit>& batch) {
  struct Flushed {
    absl::Status status;
    double seconds = 0;
    double units = 0;
  };
  std::map<std::pair<const JobContext*, uint32_t>, Flushed> flushed;
  for (const WrittenUnit& written : batch) {
    if (!NeedsFlush(written)) continue;
    const JobContext& job = *written.unit.job;
    const uint32_t shard = ShardOf(job, written.unit.unit);
    const auto [it, inserted] = flushed.try_emplace({&job, shard});
    ++it->second.units;
    if (!inserted) continue;
    const StageTimer timer(metrics_, Stage::kFlush, it->second.seconds);
    it->second.status = job.output->FlushWrite(job.writes[shard]);
  }
  for (WrittenUnit& written : batch) {
    if (!NeedsFlush(written)) continue;
    const JobContext& job = *written.unit.job;
    const Flushed& of = flushed.at({&job, ShardOf(job, written.unit.unit)});
    written.result.stages.flush += of.seconds / of.units;
  }
  MutexLock lock(mutex_);
  for (const auto& [place, flush] : flushed) {
    if (flush.status.ok()) continue;
    Failures& failures = failures_[{place.first->uid, place.second}];
    ++failures.count;
    failures.last = flush.status;
  }
  for (WrittenUnit& written : batch) {
    if (!NeedsFlush(written)) continue;
    const JobContext& job = *written.unit.job;
    const Failures failures = FailuresOf({job.uid, ShardOf(job, written.unit.unit)});
    if (failures.count != written.unit.failed_flushes) written.status = failures.last;
  }
}

void DurableBatcher::Settle(std::vector<WrittenUnit>& batch) {
  if (const absl::Status status = Guarded([&] { Flush(batch); }); !status.ok()) {
    MutexLock lock(mutex_);
    ++everywhere_.count;
    everywhere_.last = status;
    for (WrittenUnit& written : batch) {
      if (NeedsFlush(written)) written.status = status;
    }
  }
  settled_(batch);
}

void DurableBatcher::Loop() {
  MonotonicTime next = SystemClock().Now() + period_;
  while (true) {
    std::vector<WrittenUnit> batch;
    {
      MutexLock lock(mutex_);
      while (!stopping_ && (written_.empty() || (!hurry_ && SystemClock().Now() < next))) {
        if (written_.empty()) {
          changed_.Wait(mutex_);
        } else {
          changed_.WaitFor(mutex_, next - SystemClock().Now());
        }
      }
      if (stopping_) return;
      batch.swap(written_);
      hurry_ = false;
    }
    Settle(batch);
    next = SystemClock().Now() + period_;
  }
}

void DurableBatcher::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.Join().IgnoreError();
}

void DurableBatcher::SettleRest() {
  std::vector<WrittenUnit> rest;
  {
    MutexLock lock(mutex_);
    rest.swap(written_);
  }
  if (!rest.empty()) Settle(rest);
}

}  // namespace merganser
