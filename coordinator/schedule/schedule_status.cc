// What the schedule tells; nothing of it changes here but results, which are taken.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/schedule/schedule.h"

namespace merganser {

bool Schedule::IsIdle(const std::string& name) const {
  const auto it = jobs_.find(name);
  return it != jobs_.end() && !it->second.outcome.has_value() && it->second.leased == 0;
}

ScheduleCounts Schedule::Counts(MonotonicTime now) const {
  ScheduleCounts counts;
  counts.workers = workers_.size();
  for (const auto& [name, job] : jobs_) {
    counts.units_done += job.done;
    if (job.outcome.has_value()) continue;
    counts.units_leased += job.leased;
    counts.units_pending += job.units.size() - job.done - job.leased;
    counts.longest_quiet = std::max<Duration>(counts.longest_quiet, now - job.moved);
  }
  return counts;
}

std::optional<ScheduleStatus> Schedule::Status(const std::string& name) const {
  const auto it = jobs_.find(name);
  if (it == jobs_.end()) return std::nullopt;
  const Job& job = it->second;
  ScheduleStatus status;
  status.units_total = job.units.size();
  status.units_done = job.done;
  status.bytes_total = job.bytes_total;
  status.bytes_done = job.bytes_done;
  status.retries = job.retries;
  status.outcome = job.outcome;
  status.bytes_done += job.bytes_in_flight;
  status.bytes_in_flight = job.bytes_in_flight;
  status.units_leased = job.leased;
  status.workers = static_cast<uint32_t>(job.holders.size());
  if (!job.outcome.has_value()) {
    status.detail = job.too_large;
    if (workers_.empty()) {
      status.detail = "no worker is alive, expected `merganser worker --coordinator HOST:PORT`";
    }
  }
  return status;
}

HeldUnit Schedule::Held(const Lease& lease) const {
  const Job& job = jobs_.at(lease.job);
  return {lease.job, job.round, Number(lease.unit, job), lease.bytes_done, *latest_ - lease.since};
}

std::vector<std::pair<std::string, HeldUnit>> Schedule::HeldOf(const std::string& name) const {
  std::vector<std::pair<std::string, HeldUnit>> held;
  for (const auto& [token, lease] : leases_) {
    if (lease.job == name) held.emplace_back(lease.worker, Held(lease));
  }
  return held;
}

std::vector<HeldUnit> Schedule::HeldBy(const std::string& name) const {
  std::vector<HeldUnit> held;
  const auto worker = workers_.find(name);
  if (worker == workers_.end()) return held;
  for (const std::string& token : worker->second.leases) held.push_back(Held(leases_.at(token)));
  return held;
}

absl::StatusOr<std::vector<UnitResult>> Schedule::TakeResults(const std::string& name) {
  const auto it = jobs_.find(name);
  if (it == jobs_.end() || !it->second.outcome.has_value() || !it->second.outcome->ok()) {
    return absl::InternalError(absl::StrCat("job ", name, " has no complete results"));
  }
  std::vector<UnitResult> results;
  results.reserve(it->second.units.size());
  for (UnitState& unit : it->second.units) results.push_back(std::move(unit.result));
  return results;
}

JobWorkers Schedule::Workers(const std::string& name) const {
  const auto it = jobs_.find(name);
  return it == jobs_.end() ? JobWorkers() : it->second.contributors;
}

}  // namespace merganser
