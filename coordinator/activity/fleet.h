// Who works, or did lately: what workers told of themselves and of their units. Pure: time is a
// value. Leases are the schedule's business.
#ifndef MERGANSER_COORDINATOR_ACTIVITY_FLEET_H_
#define MERGANSER_COORDINATOR_ACTIVITY_FLEET_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "coordinator/activity/throughput.h"
#include "coordinator/schedule/types.h"

namespace merganser {

// A unit that a worker failed on, or lost.
struct NotedTrouble {
  WallTime time{};
  std::string job;  // uid
  uint32_t unit = 0;
  std::string message;
};

enum class WorkerState : uint8_t { kAlive, kDraining, kGone };

struct WorkerInfo {
  std::string name;
  std::string host;
  std::string version;
  uint32_t threads = 0;
  uint64_t memory = 0;  // bytes, for units
  std::string simd;
  WorkerState state = WorkerState::kAlive;
  WallTime first_seen{};
  WallTime last_seen{};
  uint64_t units_done = 0;
  uint64_t units_failed = 0;
  std::optional<NotedTrouble> last_trouble;
  Rates rates;                // over the last minute
  std::vector<Moved> recent;  // RecentRates::Steps
};

struct FleetTotals {
  size_t alive = 0;  // those that drain included
  size_t known = 0;
  Rates rates;
  std::vector<Moved> recent;
};

// Not thread-safe.
class Fleet {
 public:
  // Who is gone is remembered for so long, and no more than kMostGone are.
  static constexpr Duration kRemembered = std::chrono::hours(1);
  static constexpr size_t kMostGone = 1000;
  static constexpr size_t kMostShown = 256;  // characters of what a worker says of itself

  // `timeout`: who is silent for so long is gone.
  explicit Fleet(Duration timeout) : timeout_(timeout) {}

  // A call of a worker: who it is.
  void Called(const WorkerReport& report, MonotonicTime now, WallTime wall);
  // A unit of `worker` that counts; what it moved, it moved until now.
  void Did(const std::string& worker, const UnitResult& result, MonotonicTime now);
  void Troubled(const UnitTrouble& trouble, WallTime wall);
  // Forgets whom nobody will ask for. To be called about once a second.
  void Tick(MonotonicTime now);

  // By name.
  std::vector<WorkerInfo> Workers(MonotonicTime now) const;
  FleetTotals Totals(MonotonicTime now) const;

 private:
  struct Member {
    WorkerInfo info;
    bool left = false;  // it drained, and holds nothing
    MonotonicTime last_seen{};
    RecentRates rates;
  };

  WorkerState StateOf(const Member& member, MonotonicTime now) const;
  void DropGone(MonotonicTime now);

  const Duration timeout_;
  std::map<std::string, Member> members_;
  RecentRates rates_;  // of all, those included who are forgotten
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_ACTIVITY_FLEET_H_
