// Units, leases and workers as a state machine; rules in README.md.
#ifndef MERGANSER_COORDINATOR_SCHEDULE_SCHEDULE_H_
#define MERGANSER_COORDINATOR_SCHEDULE_SCHEDULE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/engine/unit_result.h"
#include "coordinator/schedule/pending.h"
#include "coordinator/schedule/types.h"

namespace merganser {

// Not thread-safe. Times never run backwards (an earlier `now` counts as the latest
// one seen).
class Schedule {
 public:
  // `make_token` returns a fresh unguessable text at each call.
  Schedule(const ScheduleOptions& options, uint64_t epoch, std::function<std::string()> make_token);

  uint64_t epoch() const { return epoch_; }

  // `order` ranks jobs of one priority that hold as many leases: the lower is served
  // first. kAlreadyExists if the job is
  // there. A job without units is done at once. A job of several rounds is removed
  // after each and added again with the next: no lease of one lives on in another.
  absl::Status AddJob(const std::string& job, uint64_t order, UnitBatch batch, MonotonicTime now);

  // Forgets the job; its leases are revoked as their workers call.
  void RemoveJob(const std::string& job);

  // From now on; leases that are out stay out. Nothing where the job is not there.
  void SetPriority(const std::string& job, int32_t priority);

  // kAborted when a later call of this worker was seen already: nothing changed.
  absl::StatusOr<WorkerAnswer> Sync(WorkerReport report, MonotonicTime now);

  // Whether Sync would count a result under this lease: a unit of the job's batch that
  // is not done.
  bool Expects(const std::string& job, const std::string& token, uint32_t unit,
               uint32_t round) const;

  // The leases that failed or were lost since the last call, in order.
  std::vector<UnitTrouble> TakeTrouble();
  // The jobs of which there is no more to schedule since the last call (ScheduleStatus::outcome);
  // some may have been removed.
  std::vector<std::string> TakeEnded();

  // Expires what is due. To be called about once a second.
  void Tick(MonotonicTime now);

  // While a job is on hold none of its units goes out.
  void Hold(const std::string& job, bool hold);
  // Whether a unit of it could have gone out since the last call, but for that.
  bool TakeMissed(const std::string& job);

  // Whether units are to be done of the job, and no worker has one.
  bool IsIdle(const std::string& job) const;

  // nullopt: no such job. Looks at no unit and no lease.
  std::optional<ScheduleStatus> Status(const std::string& job) const;

  // All leases of the job, with their workers; looks at all there are.
  std::vector<std::pair<std::string, HeldUnit>> HeldOf(const std::string& job) const;
  // What a worker holds; empty for one that is not alive.
  std::vector<HeldUnit> HeldBy(const std::string& worker) const;

  // All results in the batch's order, once the outcome is OK; moves them out.
  absl::StatusOr<std::vector<UnitResult>> TakeResults(const std::string& job);
  JobWorkers Workers(const std::string& job) const;

  // Looks at every job, at no unit.
  ScheduleCounts Counts(MonotonicTime now) const;

  size_t live_workers() const { return workers_.size(); }

 private:
  struct UnitState {
    UnitDemand demand;
    std::string lease;  // live token; empty when pending or done
    bool done = false;
    UnitResult result;                // once done, until TakeResults
    std::string checksum;             // of the result
    std::string done_by;              // worker
    int attempts = 0;                 // failed or lost leases
    std::set<std::string> failed_on;  // workers that reported a failure
    // How often each worker failed on it or lost it, for the choice of the next.
    std::map<std::string, int> troubles;
    MonotonicTime not_before{};  // earliest next lease
  };
  struct Job {
    uint64_t order = 0;
    int32_t priority = 0;
    uint32_t round = 0;
    std::vector<uint32_t> numbers;  // of the units in the plan; empty: their index
    std::function<void(UnitResult&)> accept;
    std::vector<UnitState> units;
    PendingUnits pending;
    size_t leased = 0;
    uint64_t bytes_in_flight = 0;           // of its leases, as far as they are known
    std::map<std::string, size_t> holders;  // how many leases each worker has
    bool hold = false;
    bool missed = false;
    std::map<std::string, uint32_t> issued;  // every token ever, for late results
    uint64_t done = 0;
    uint64_t bytes_total = 0;
    uint64_t bytes_done = 0;
    uint64_t retries = 0;
    MonotonicTime moved{};  // when it last made progress
    uint64_t largest_demand = 0;
    JobWorkers contributors;
    std::optional<MonotonicTime> too_large_since;
    std::string too_large;  // message while some pending unit fits no worker
    std::optional<absl::Status> outcome;
  };
  struct Lease {
    std::string job;
    uint32_t unit = 0;
    std::string worker;
    MonotonicTime deadline{};
    MonotonicTime last_byte{};  // when the unit last wrote, or was leased
    MonotonicTime since{};      // when it was leased
    uint64_t bytes_done = 0;
    uint64_t work = 0;
  };
  struct Worker {
    uint64_t sequence = 0;
    uint32_t threads = 0;
    uint64_t memory = 0;
    std::string simd;
    bool draining = false;
    bool counted = false;  // in memories_ and open_workers_
    MonotonicTime last_seen{};
    std::set<std::string> leases;  // tokens
  };

  MonotonicTime Advance(MonotonicTime now);
  void Expire(MonotonicTime now);
  void CheckTooLarge(MonotonicTime now);
  void Accept(WorkerReport::Completed completed, const WorkerReport& report);
  void TakeFailure(const WorkerReport::Failed& failed, const std::string& worker,
                   MonotonicTime now);
  // Takes in how far the worker's units are. `finished_some`: it reports results too.
  void Renew(const WorkerReport& report, bool finished_some, MonotonicTime now);
  void Grant(const WorkerReport& report, WorkerAnswer& answer, MonotonicTime now);
  // How many leases a worker may hold in all.
  size_t FairShare() const;
  bool MayTake(const UnitState& unit, const std::string& worker, uint64_t memory,
               MonotonicTime now) const;
  // Takes the lease away. `requeue` puts its unit back. The token is a copy: that of the unit,
  // which some hand over, is cleared here.
  void Release(std::string token, bool requeue);
  // Counts a failed or lost attempt of a unit that was just released.
  void CountAttempt(const std::string& job_name, uint32_t unit, const absl::Status& why,
                    const std::string& worker, bool reported, MonotonicTime now);
  void LoseLease(const std::string& token, const absl::Status& why, MonotonicTime now);
  void EndJob(const std::string& name, Job& job, absl::Status outcome);
  // What a lease adds to its job's bytes: a worker may say anything, and a unit is never more than
  // whole.
  static uint64_t BytesInFlight(const Lease& lease, const Job& job);
  // Takes a worker into the sums over workers, and out of them.
  void CountIn(Worker& worker);
  void CountOut(Worker& worker);
  std::map<std::string, Worker>::iterator EraseWorker(std::map<std::string, Worker>::iterator it);
  static uint32_t Number(uint32_t index, const Job& job);
  HeldUnit Held(const Lease& lease) const;
  std::string DescribeUnit(uint32_t unit, const Job& job) const;

  const ScheduleOptions options_;
  const uint64_t epoch_;
  const std::function<std::string()> make_token_;
  std::map<std::string, Job> jobs_;
  std::map<std::string, Lease> leases_;
  std::map<std::string, Worker> workers_;
  std::optional<MonotonicTime> latest_;
  // No lease and no worker expires before this: the fleet is looked through only
  // when it is due, not at every call.
  MonotonicTime next_expiry_{};
  std::vector<UnitTrouble> trouble_;
  std::vector<std::string> ended_;
  // Sums that would else be walks over the fleet at every call.
  std::map<uint64_t, size_t> memories_;  // of workers that do not drain: how many have so much
  size_t open_workers_ = 0;              // how many those are
  uint64_t open_units_ = 0;              // of jobs without an outcome
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SCHEDULE_SCHEDULE_H_
