// What goes into the schedule and what comes out. Plain data.
#ifndef MERGANSER_COORDINATOR_SCHEDULE_TYPES_H_
#define MERGANSER_COORDINATOR_SCHEDULE_TYPES_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/engine/unit_result.h"

namespace merganser {

struct ScheduleOptions {
  // A lease without progress lives this long ...
  Duration lease_ttl = std::chrono::minutes(3);
  // ... and with signs of work but not one byte written, this long.
  Duration stall_limit = std::chrono::hours(2);
  Duration worker_timeout = std::chrono::seconds(30);
  Duration too_large_limit = std::chrono::minutes(5);
  Duration heartbeat = std::chrono::seconds(2);
  Duration idle_heartbeat = std::chrono::milliseconds(500);  // of a worker that got too little
  Duration pause_gap = std::chrono::seconds(15);
  Duration retry_delay = std::chrono::seconds(1);  // after the first failure; doubles
  Duration max_retry_delay = std::chrono::seconds(30);
  int max_attempts = 5;
  int max_failed_workers = 3;
};

// What the schedule needs to know of a unit.
struct UnitDemand {
  uint64_t memory = 0;  // bytes
  uint64_t bytes = 0;   // written by it
  // What was tried before a restart: failed or lost leases, workers that reported a
  // failure, and those that lost it.
  int attempts = 0;
  std::set<std::string> failed_on = {};
  std::set<std::string> lost_on = {};
};

// The units of a job that are to be done now: all of them, or those of a round.
struct UnitBatch {
  UnitBatch() = default;
  UnitBatch(std::vector<UnitDemand> all)
      : demands(std::move(all)) {}  // NOLINT: a batch of one round

  std::vector<UnitDemand> demands;
  int32_t priority = 0;  // of the job: units of the highest go out first
  uint32_t round = 0;
  std::vector<uint32_t> units;  // their numbers in the plan; empty: as they stand
  // Sees every result that counts, once; may take out what would be too much to
  // keep. Must not call back.
  std::function<void(UnitResult&)> accept;
};

// What a worker tells in one Sync.
struct WorkerReport {
  struct InFlight {
    std::string token;
    uint64_t bytes_done = 0;
    uint64_t work = 0;
  };
  struct Completed {
    std::string token;
    std::string job;
    UnitResult result;
    std::string record = {};  // the same, as it is put down (PackResult)
  };
  struct Failed {
    std::string token;
    std::string job;
    uint32_t unit = 0;
    absl::Status status;  // never OK
  };

  std::string worker;
  uint64_t sequence = 0;
  uint32_t threads = 0;
  uint64_t memory = 0;
  std::string simd;
  std::string host;     // for people, as the worker says
  std::string version;  // of its program
  std::vector<InFlight> in_flight;
  std::vector<Completed> completed;
  std::vector<Failed> failed;
  std::vector<std::string> returned;
  // Tokens of units that are done, but whose results could not be put on record: they
  // stay with the worker, who tells of them again, and count as progress.
  std::vector<std::string> unrecorded;
  uint32_t wanted = 0;
  bool draining = false;
};

// A lease that failed or was lost.
struct UnitTrouble {
  std::string job;
  uint32_t round = 0;
  uint32_t unit = 0;  // number in the plan
  std::string worker;
  bool reported = false;  // by the worker
  absl::Status why;
};

struct LeaseGrant {
  std::string job;
  uint32_t unit = 0;  // number in the plan
  std::string token;
  Duration ttl{};
  uint32_t round = 0;
};

struct WorkerAnswer {
  uint64_t epoch = 0;
  std::vector<LeaseGrant> leases;
  std::vector<std::string> revoked;
  std::vector<std::string> acknowledged;
  Duration next_sync_after{};
};

// A lease, for people.
struct HeldUnit {
  std::string job;
  uint32_t round = 0;
  uint32_t unit = 0;  // number in the plan
  uint64_t bytes_done = 0;
  Duration held{};  // until the schedule's latest time
};

// All that is scheduled at one moment.
struct ScheduleCounts {
  // Of all jobs that are scheduled.
  uint64_t units_pending = 0;
  uint64_t units_leased = 0;
  uint64_t units_done = 0;
  uint64_t workers = 0;  // that called lately
  // Of the job with units left that has been so the longest: since it made any progress, or came.
  Duration longest_quiet{};
};

// How far a job is.
struct ScheduleStatus {
  uint64_t units_total = 0;
  uint64_t units_done = 0;
  uint64_t units_leased = 0;
  uint64_t bytes_total = 0;
  uint64_t bytes_done = 0;       // of finished units, and what is known of those in flight
  uint64_t bytes_in_flight = 0;  // of these
  uint32_t workers = 0;          // with leases of this job
  uint64_t retries = 0;          // leases failed or lost
  std::string detail;            // what it waits for; usually empty
  // Set when there is no more to schedule: OK when all units are done.
  std::optional<absl::Status> outcome;
};

// Who took part in a job, for the report.
struct JobWorkers {
  std::map<std::string, uint32_t> threads;  // of each worker with accepted results
  std::set<std::string> simd;               // theirs

  void Add(const std::string& name, uint32_t thread_count, const std::string& simd_name) {
    threads[name] = thread_count;
    if (!simd_name.empty()) simd.insert(simd_name);
  }
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SCHEDULE_TYPES_H_
