#include "coordinator/schedule/schedule.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/backoff.h"
#include "common/base/bytes.h"
#include "common/base/status.h"

namespace merganser {

Schedule::Schedule(const ScheduleOptions& options, uint64_t epoch,
                   std::function<std::string()> make_token)
    : options_(options), epoch_(epoch), make_token_(std::move(make_token)) {}

absl::Status Schedule::AddJob(const std::string& name, uint64_t order, UnitBatch batch,
                              MonotonicTime now) {
  now = Advance(now);
  const auto [it, inserted] = jobs_.try_emplace(name);
  if (!inserted) {
    return absl::AlreadyExistsError(absl::StrCat("job ", name, " is scheduled already"));
  }
  Job& job = it->second;
  job.order = order;
  job.moved = now;
  job.priority = batch.priority;
  job.round = batch.round;
  job.numbers = std::move(batch.units);
  job.accept = std::move(batch.accept);
  job.units.reserve(batch.demands.size());
  for (const UnitDemand& demand : batch.demands) {
    job.pending.Insert(static_cast<uint32_t>(job.units.size()), demand);
    UnitState& unit = job.units.emplace_back();
    unit.demand = demand;
    unit.attempts = demand.attempts;
    unit.failed_on = demand.failed_on;
    for (const std::string& worker : demand.failed_on) ++unit.troubles[worker];
    for (const std::string& worker : demand.lost_on) ++unit.troubles[worker];
    unit.not_before = now;  // from here on its next worker is waited for
    job.bytes_total += demand.bytes;
    job.largest_demand = std::max(job.largest_demand, demand.memory);
  }
  open_units_ += job.units.size();
  if (job.units.empty()) EndJob(name, job, absl::OkStatus());
  CheckTooLarge(now);
  return absl::OkStatus();
}

void Schedule::RemoveJob(const std::string& name) {
  const auto it = jobs_.find(name);
  if (it == jobs_.end()) return;
  // Takes no memory: it is never in the way.
  for (UnitState& unit : it->second.units) {
    if (!unit.lease.empty()) Release(unit.lease, /*requeue=*/false);
  }
  if (!it->second.outcome.has_value()) open_units_ -= it->second.units.size() - it->second.done;
  jobs_.erase(it);
}

void Schedule::SetPriority(const std::string& name, int32_t priority) {
  if (const auto it = jobs_.find(name); it != jobs_.end()) it->second.priority = priority;
}

absl::StatusOr<WorkerAnswer> Schedule::Sync(WorkerReport report, MonotonicTime now) {
  now = Advance(now);
  const bool known = workers_.contains(report.worker);
  Worker& worker = workers_[report.worker];
  if (known && report.sequence <= worker.sequence) {
    return absl::AbortedError(absl::StrCat("worker ", report.worker, ": found call ",
                                           report.sequence, ", expected one after ",
                                           worker.sequence));
  }
  CountOut(worker);
  worker.sequence = report.sequence;
  worker.threads = report.threads;
  worker.memory = report.memory;
  worker.simd = report.simd;
  worker.draining = report.draining;
  worker.last_seen = now;
  CountIn(worker);
  next_expiry_ = std::min(next_expiry_, now + options_.worker_timeout);

  WorkerAnswer answer;
  answer.epoch = epoch_;
  answer.next_sync_after = options_.heartbeat;

  const bool finished_some = !report.completed.empty();
  for (WorkerReport::Completed& completed : report.completed) {
    answer.acknowledged.push_back(completed.token);
    Accept(std::move(completed), report);
  }
  for (const WorkerReport::Failed& failed : report.failed) {
    answer.acknowledged.push_back(failed.token);
    TakeFailure(failed, report.worker, now);
  }
  for (const std::string& token : report.returned) {
    answer.acknowledged.push_back(token);
    if (worker.leases.contains(token)) Release(token, /*requeue=*/true);
  }
  Renew(report, finished_some, now);
  Expire(now);
  CheckTooLarge(now);
  // Expire may have taken leases that Renew left alone.
  for (const WorkerReport::InFlight& unit : report.in_flight) {
    if (!worker.leases.contains(unit.token)) answer.revoked.push_back(unit.token);
  }
  if (!report.draining) {
    Grant(report, answer, now);
    if (answer.leases.size() < report.wanted) {
      answer.next_sync_after = std::min(options_.heartbeat, options_.idle_heartbeat);
    }
  } else if (worker.leases.empty()) {
    EraseWorker(workers_.find(report.worker));
  }
  return answer;
}

bool Schedule::Expects(const std::string& name, const std::string& token, uint32_t unit,
                       uint32_t round) const {
  const auto it = jobs_.find(name);
  if (it == jobs_.end() || it->second.outcome.has_value() || it->second.round != round) {
    return false;
  }
  const auto issued = it->second.issued.find(token);
  return issued != it->second.issued.end() && Number(issued->second, it->second) == unit &&
         !it->second.units[issued->second].done;
}

std::vector<UnitTrouble> Schedule::TakeTrouble() { return std::exchange(trouble_, {}); }

std::vector<std::string> Schedule::TakeEnded() { return std::exchange(ended_, {}); }

void Schedule::Tick(MonotonicTime now) {
  now = Advance(now);
  Expire(now);
  CheckTooLarge(now);
}

// After a pause of this process workers had nobody to call: their silence and the
// leases' age mean nothing.
MonotonicTime Schedule::Advance(MonotonicTime now) {
  if (!latest_.has_value()) latest_ = now;
  now = std::max(now, *latest_);
  if (now - *latest_ > options_.pause_gap) {
    for (auto& [name, worker] : workers_) worker.last_seen = now;
    for (auto& [token, lease] : leases_) {
      lease.deadline = now + options_.lease_ttl;
      lease.last_byte += now - *latest_;
    }
    next_expiry_ = now;
  }
  latest_ = now;
  return now;
}

void Schedule::Expire(MonotonicTime now) {
  if (now < next_expiry_) return;
  std::vector<std::string> silent;
  for (const auto& [name, worker] : workers_) {
    if (now - worker.last_seen >= options_.worker_timeout) silent.push_back(name);
  }
  for (const std::string& name : silent) {
    const std::set<std::string> tokens = workers_[name].leases;
    for (const std::string& token : tokens) {
      LoseLease(token,
                absl::UnavailableError(
                    absl::StrCat("worker ", name, " has not called for ",
                                 options_.worker_timeout / std::chrono::seconds(1), " s")),
                now);
    }
    EraseWorker(workers_.find(name));
  }
  std::vector<std::string> expired;
  for (const auto& [token, lease] : leases_) {
    if (now >= lease.deadline) expired.push_back(token);
  }
  for (const std::string& token : expired) {
    const auto it = leases_.find(token);
    if (it == leases_.end()) continue;  // its job ended with an earlier one
    LoseLease(token,
              absl::DeadlineExceededError(
                  absl::StrCat("worker ", it->second.worker, " made no progress on it")),
              now);
  }
  next_expiry_ = MonotonicTime::max();
  for (const auto& [name, worker] : workers_) {
    next_expiry_ = std::min(next_expiry_, worker.last_seen + options_.worker_timeout);
  }
  for (const auto& [token, lease] : leases_) next_expiry_ = std::min(next_expiry_, lease.deadline);
}

void Schedule::CheckTooLarge(MonotonicTime now) {
  const uint64_t largest = memories_.empty() ? 0 : memories_.rbegin()->first;
  const size_t live = open_workers_;
  for (auto& [name, job] : jobs_) {
    if (job.outcome.has_value()) continue;
    std::optional<uint32_t> unfit;
    if (job.largest_demand > largest) {
      unfit = job.pending.First(
          UINT64_MAX, [&](uint32_t unit) { return job.units[unit].demand.memory > largest; });
    }
    // Without workers there is nothing to hold a unit against: the job waits.
    if (live == 0 || !unfit.has_value()) {
      job.too_large_since.reset();
      job.too_large.clear();
      continue;
    }
    const std::string need = FormatBytes(job.units[*unfit].demand.memory);
    job.too_large = absl::StrCat(DescribeUnit(*unfit, job), " needs ", need,
                                 " of memory, found at most ", FormatBytes(largest), " among ",
                                 live, live == 1 ? " live worker" : " live workers",
                                 "; start a worker with more --memory");
    if (!job.too_large_since.has_value()) job.too_large_since = now;
    if (now - *job.too_large_since >= options_.too_large_limit) {
      EndJob(name, job, absl::ResourceExhaustedError(job.too_large));
    }
  }
}

void Schedule::Accept(WorkerReport::Completed completed, const WorkerReport& report) {
  const auto it = jobs_.find(completed.job);
  if (it == jobs_.end()) return;
  Job& job = it->second;
  const auto issued = job.issued.find(completed.token);
  if (issued == job.issued.end()) return;
  const uint32_t index = issued->second;
  if (completed.result.unit != Number(index, job) || completed.result.round != job.round) return;
  if (job.outcome.has_value() && !job.outcome->ok()) return;
  UnitState& unit = job.units[index];
  const std::string checksum = completed.result.Checksum();
  if (unit.done) {
    if (checksum != unit.checksum) {
      EndJob(it->first, job,
             absl::DataLossError(absl::StrCat(
                 DescribeUnit(index, job), ": workers ", unit.done_by, " and ", report.worker,
                 " computed different bytes (checksums ", unit.checksum, " and ", checksum,
                 "), expected the same; one of them has faulty hardware or another version")));
    }
    return;
  }
  // Whoever else holds the unit may stop.
  if (!unit.lease.empty()) Release(unit.lease, /*requeue=*/false);
  job.pending.Erase(index, unit.demand);
  completed.result.worker = report.worker;
  unit.checksum = checksum;
  unit.done = true;
  unit.done_by = report.worker;
  if (job.accept) job.accept(completed.result);
  unit.result = std::move(completed.result);
  job.contributors.Add(report.worker, report.threads, report.simd);
  job.bytes_done += unit.demand.bytes;
  job.moved = *latest_;
  --open_units_;
  if (++job.done == job.units.size()) EndJob(it->first, job, absl::OkStatus());
}

void Schedule::TakeFailure(const WorkerReport::Failed& failed, const std::string& worker,
                           MonotonicTime now) {
  // A lease that was lost before was counted then.
  const auto it = leases_.find(failed.token);
  if (it == leases_.end() || it->second.worker != worker) return;
  const std::string job_name = it->second.job;
  const uint32_t unit = it->second.unit;
  Release(failed.token, /*requeue=*/true);
  jobs_[job_name].units[unit].failed_on.insert(worker);
  CountAttempt(job_name, unit, failed.status, worker, /*reported=*/true, now);
}

void Schedule::Renew(const WorkerReport& report, bool finished_some, MonotonicTime now) {
  Worker& worker = workers_[report.worker];
  std::set<std::string> unmentioned = worker.leases;
  bool progressed = finished_some;
  for (const WorkerReport::InFlight& unit : report.in_flight) {
    unmentioned.erase(unit.token);
    const auto it = leases_.find(unit.token);
    if (it == leases_.end() || it->second.worker != report.worker) continue;
    Lease& lease = it->second;
    if (unit.bytes_done > lease.bytes_done) lease.last_byte = now;
    if (unit.bytes_done > lease.bytes_done || unit.work > lease.work) {
      const auto job = jobs_.find(lease.job);
      if (job != jobs_.end()) job->second.bytes_in_flight -= BytesInFlight(lease, job->second);
      lease.bytes_done = std::max(lease.bytes_done, unit.bytes_done);
      lease.work = std::max(lease.work, unit.work);
      progressed = true;
      if (job == jobs_.end()) continue;
      job->second.bytes_in_flight += BytesInFlight(lease, job->second);
      job->second.moved = now;
    }
  }
  for (const std::string& token : report.unrecorded) {
    unmentioned.erase(token);
    const auto it = leases_.find(token);
    if (it == leases_.end() || it->second.worker != report.worker) continue;
    it->second.last_byte = now;
    progressed = true;
  }
  // The worker has one call in flight, so what it does not mention it never heard of.
  for (const std::string& token : unmentioned) Release(token, /*requeue=*/true);
  if (!progressed) return;
  for (const std::string& token : worker.leases) {
    Lease& lease = leases_[token];
    lease.deadline = std::min(now + options_.lease_ttl, lease.last_byte + options_.stall_limit);
    next_expiry_ = std::min(next_expiry_, lease.deadline);
  }
}

bool Schedule::MayTake(const UnitState& unit, const std::string& name, uint64_t memory,
                       MonotonicTime now) const {
  if (unit.demand.memory > memory || now < unit.not_before) return false;
  const auto troubles = [&unit](const std::string& worker) {
    const auto it = unit.troubles.find(worker);
    return it == unit.troubles.end() ? 0 : it->second;
  };
  const int mine = troubles(name);
  // Those that it went better with come first, but do not keep it from the rest for ever:
  // they may be busy, or hang. Whoever fails at once waits longer each time.
  if (mine == 0 || now >= unit.not_before + mine * options_.lease_ttl) return true;
  return std::none_of(workers_.begin(), workers_.end(), [&](const auto& entry) {
    const auto& [other, worker] = entry;
    return !worker.draining && worker.memory >= unit.demand.memory && troubles(other) < mine;
  });
}

size_t Schedule::FairShare() const {
  const uint64_t live = std::max<uint64_t>(1, open_workers_);
  return std::max<uint64_t>(1, (open_units_ + live - 1) / live);
}

void Schedule::CountIn(Worker& worker) {
  if (worker.draining) return;
  ++memories_[worker.memory];
  ++open_workers_;
  worker.counted = true;
}

void Schedule::CountOut(Worker& worker) {
  if (!std::exchange(worker.counted, false)) return;
  const auto it = memories_.find(worker.memory);
  if (--it->second == 0) memories_.erase(it);
  --open_workers_;
}

std::map<std::string, Schedule::Worker>::iterator Schedule::EraseWorker(
    std::map<std::string, Worker>::iterator it) {
  CountOut(it->second);
  return workers_.erase(it);
}

uint64_t Schedule::BytesInFlight(const Lease& lease, const Job& job) {
  return std::min(lease.bytes_done, job.units[lease.unit].demand.bytes);
}

// Each lease goes to the job whose turn it is: of the highest priority, and among
// those the one with the fewest leases. So jobs that run side by side share the
// workers evenly, and one that comes late does not wait for the first to end.
void Schedule::Grant(const WorkerReport& report, WorkerAnswer& answer, MonotonicTime now) {
  Worker& worker = workers_[report.worker];
  const size_t share = FairShare();
  std::vector<std::pair<const std::string, Job>*> turns;
  for (auto& entry : jobs_) {
    if (!entry.second.outcome.has_value() && entry.second.pending.size() > 0) {
      turns.push_back(&entry);
    }
  }
  while (!turns.empty() && answer.leases.size() < report.wanted && worker.leases.size() < share) {
    const auto turn =
        std::min_element(turns.begin(), turns.end(), [](const auto* a, const auto* b) {
          return std::tuple(-int64_t{a->second.priority}, a->second.leased, a->second.order) <
                 std::tuple(-int64_t{b->second.priority}, b->second.leased, b->second.order);
        });
    auto& [name, job] = **turn;
    const std::optional<uint32_t> found = job.pending.First(report.memory, [&](uint32_t unit) {
      return MayTake(job.units[unit], report.worker, report.memory, now);
    });
    job.missed |= job.hold && found.has_value();
    if (job.hold || !found.has_value()) {
      turns.erase(turn);  // nothing of it is for this worker, now
      continue;
    }
    const uint32_t index = *found;
    UnitState& unit = job.units[index];
    job.pending.Erase(index, unit.demand);
    const std::string token = make_token_();
    unit.lease = token;
    job.issued.emplace(token, index);
    leases_[token] = {name, index, report.worker, now + options_.lease_ttl, now, now, 0, 0};
    next_expiry_ = std::min(next_expiry_, now + options_.lease_ttl);
    worker.leases.insert(token);
    ++job.leased;
    ++job.holders[report.worker];
    answer.leases.push_back({name, Number(index, job), token, options_.lease_ttl, job.round});
  }
}

// NOLINTNEXTLINE(performance-unnecessary-value-param)
void Schedule::Release(std::string token, bool requeue) {
  const auto it = leases_.find(token);
  if (it == leases_.end()) return;
  const Lease lease = it->second;
  leases_.erase(it);
  if (const auto worker = workers_.find(lease.worker); worker != workers_.end()) {
    worker->second.leases.erase(token);
  }
  const auto job = jobs_.find(lease.job);
  if (job == jobs_.end()) return;
  UnitState& unit = job->second.units[lease.unit];
  unit.lease.clear();
  --job->second.leased;
  job->second.bytes_in_flight -= BytesInFlight(lease, job->second);
  const auto holder = job->second.holders.find(lease.worker);
  if (holder != job->second.holders.end() && --holder->second == 0) {
    job->second.holders.erase(holder);
  }
  if (requeue) job->second.pending.Insert(lease.unit, unit.demand);
}

void Schedule::LoseLease(const std::string& token, const absl::Status& why, MonotonicTime now) {
  const auto it = leases_.find(token);
  if (it == leases_.end()) return;
  const Lease lease = it->second;
  Release(token, /*requeue=*/true);
  CountAttempt(lease.job, lease.unit, why, lease.worker, /*reported=*/false, now);
}

void Schedule::CountAttempt(const std::string& job_name, uint32_t index, const absl::Status& why,
                            const std::string& worker, bool reported, MonotonicTime now) {
  const auto it = jobs_.find(job_name);
  if (it == jobs_.end() || it->second.outcome.has_value()) return;
  Job& job = it->second;
  UnitState& unit = job.units[index];
  ++job.retries;
  ++unit.attempts;
  ++unit.troubles[worker];
  trouble_.push_back({job_name, job.round, Number(index, job), worker, reported, why});
  // The coordinator has seen the files: a worker that does not has not mounted their storage,
  // or runs as another user, with other roots, or with a token that was replaced.
  const bool elsewhere = reported && (absl::IsNotFound(why) || absl::IsPermissionDenied(why) ||
                                      absl::IsUnauthenticated(why));
  if (!IsRetryable(why) && !elsewhere) {
    EndJob(job_name, job,
           Annotate(why, absl::StrCat(DescribeUnit(index, job), " on worker ", worker)));
    return;
  }
  if (unit.attempts >= options_.max_attempts ||
      static_cast<int>(unit.failed_on.size()) >= options_.max_failed_workers) {
    EndJob(job_name, job,
           Annotate(why, absl::StrCat(DescribeUnit(index, job), " was tried ", unit.attempts,
                                      " times, the last time on worker ", worker)));
    return;
  }
  unit.not_before =
      now + BackoffAfter(unit.attempts, {options_.retry_delay, options_.max_retry_delay});
}

void Schedule::EndJob(const std::string& name, Job& job, absl::Status outcome) {
  for (UnitState& unit : job.units) {
    if (!unit.lease.empty()) Release(unit.lease, /*requeue=*/false);
  }
  if (!job.outcome.has_value()) {
    open_units_ -= job.units.size() - job.done;
    ended_.push_back(name);
  }
  job.pending.Clear();
  job.too_large.clear();
  job.outcome = std::move(outcome);
}

uint32_t Schedule::Number(uint32_t index, const Job& job) {
  return job.numbers.empty() ? index : job.numbers[index];
}

std::string Schedule::DescribeUnit(uint32_t unit, const Job& job) const {
  if (!job.numbers.empty()) {
    return absl::StrCat("unit ", Number(unit, job), " in round ", job.round + 1);
  }
  return absl::StrCat("unit ", unit, " of ", job.units.size());
}

void Schedule::Hold(const std::string& name, bool hold) {
  const auto it = jobs_.find(name);
  if (it != jobs_.end()) it->second.hold = hold;
}

bool Schedule::TakeMissed(const std::string& name) {
  const auto it = jobs_.find(name);
  return it != jobs_.end() && std::exchange(it->second.missed, false);
}

}  // namespace merganser
