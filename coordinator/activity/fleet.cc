#include "coordinator/activity/fleet.h"

#include <algorithm>
#include <utility>

#include "common/base/shown.h"
#include "common/base/status.h"

namespace merganser {
namespace {

Duration Took(const UnitResult& result) {
  // What a worker says of its time is not believed beyond what is kept.
  const double most = std::chrono::duration<double>(RecentRates::kStep).count() *
                      static_cast<double>(RecentRates::kSteps);
  const double seconds = result.seconds > 0 ? std::min(result.seconds, most) : 0;
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

void Fleet::Called(const WorkerReport& report, MonotonicTime now, WallTime wall) {
  const auto [it, fresh] = members_.try_emplace(report.worker);
  Member& member = it->second;
  WorkerInfo& info = member.info;
  if (fresh) {
    info.name = report.worker;
    info.first_seen = wall;
  }
  info.host = Cut(report.host, kMostShown);
  info.version = Cut(report.version, kMostShown);
  info.threads = report.threads;
  info.memory = report.memory;
  info.simd = report.simd;
  info.state = report.draining ? WorkerState::kDraining : WorkerState::kAlive;
  info.last_seen = wall;
  member.last_seen = now;
  member.left = report.draining && report.in_flight.empty() && report.unrecorded.empty();
}

void Fleet::Did(const std::string& worker, const UnitResult& result, MonotonicTime now) {
  const Moved moved = {result.bytes_read, result.bytes_written, 1};
  rates_.Add(now, Took(result), moved);
  const auto it = members_.find(worker);
  if (it == members_.end()) return;
  it->second.rates.Add(now, Took(result), moved);
  ++it->second.info.units_done;
}

void Fleet::Troubled(const UnitTrouble& trouble, WallTime wall) {
  const auto it = members_.find(trouble.worker);
  if (it == members_.end()) return;
  WorkerInfo& info = it->second.info;
  ++info.units_failed;
  info.last_trouble = NotedTrouble{wall, trouble.job, trouble.unit,
                                   Cut(OneLine(std::string(trouble.why.message())), kMostShown)};
}

void Fleet::Tick(MonotonicTime now) {
  std::erase_if(members_, [&](const auto& entry) {
    return now - entry.second.last_seen > kRemembered &&
           StateOf(entry.second, now) == WorkerState::kGone;
  });
  DropGone(now);
}

// The longest gone first.
void Fleet::DropGone(MonotonicTime now) {
  std::vector<std::pair<MonotonicTime, std::string>> gone;
  for (const auto& [name, member] : members_) {
    if (StateOf(member, now) == WorkerState::kGone) gone.emplace_back(member.last_seen, name);
  }
  if (gone.size() <= kMostGone) return;
  std::sort(gone.begin(), gone.end());
  for (size_t i = 0; i < gone.size() - kMostGone; ++i) members_.erase(gone[i].second);
}

WorkerState Fleet::StateOf(const Member& member, MonotonicTime now) const {
  return member.left || now - member.last_seen >= timeout_ ? WorkerState::kGone : member.info.state;
}

std::vector<WorkerInfo> Fleet::Workers(MonotonicTime now) const {
  std::vector<WorkerInfo> workers;
  workers.reserve(members_.size());
  for (const auto& [name, member] : members_) {
    WorkerInfo& info = workers.emplace_back(member.info);
    info.state = StateOf(member, now);
    info.rates = member.rates.LastMinute(now);
    info.recent = member.rates.Steps(now);
  }
  return workers;
}

FleetTotals Fleet::Totals(MonotonicTime now) const {
  FleetTotals totals;
  totals.known = members_.size();
  for (const auto& [name, member] : members_) {
    if (StateOf(member, now) != WorkerState::kGone) ++totals.alive;
  }
  totals.rates = rates_.LastMinute(now);
  totals.recent = rates_.Steps(now);
  return totals;
}

}  // namespace merganser
