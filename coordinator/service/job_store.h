// What of jobs outlives a moment. The memory store outlives the JobManager that
// uses it and nothing else; the journal (coordinator/journal) is on disk.
#ifndef MERGANSER_COORDINATOR_SERVICE_JOB_STORE_H_
#define MERGANSER_COORDINATOR_SERVICE_JOB_STORE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "coordinator/service/job.h"

namespace merganser {

// Under which plan a job's output was begun: what a restart must find again.
struct PlanRecord {
  std::string digest;  // empty: not begun
  int numerics_version = 0;
  // URI and digest of every input, to tell which one changed.
  std::vector<std::pair<std::string, std::string>> inputs;

  bool operator==(const PlanRecord&) const = default;
};

struct JobRecord {
  uint64_t sequence = 0;   // order of creation, from 1
  std::string request_id;  // empty if the client gave none
  // Without events, and the progress of ended jobs alone. An error while the state is not
  // terminal: the job is to fail with it, once its partial output is removed.
  JobInfo info;
  PlanRecord plan;
  // Where the priority was changed since: what the request had, which its id stands for.
  std::optional<int32_t> asked_priority = std::nullopt;
  // Of an ended job: JobStore::Served when it ended.
  Duration ended_after = Duration::zero();
  // Of an ended job, to be saved with it: how it went, a v1.JobActivity of at most kMostActivity
  // bytes. Empty: what KeepActivity left stays. Not loaded: JobStore::Activity.
  std::string activity;
};

// A unit's result, packed (PackResults).
struct StoredResult {
  std::string job;  // uid
  uint32_t round = 0;
  uint32_t unit = 0;
  std::string bytes;
  // Who did it.
  std::string worker;
  uint32_t threads = 0;
  std::string simd;

  bool operator==(const StoredResult&) const = default;
};

// Where a result stands among its job's.
struct ResultPlace {
  uint32_t round = 0;
  uint32_t unit = 0;
};

// A lease that failed or was lost.
struct UnitAttempt {
  uint32_t round = 0;
  uint32_t unit = 0;
  std::string worker;
  bool reported = false;  // by the worker; else the lease was lost

  bool operator==(const UnitAttempt&) const = default;
};

struct StoredEvent {
  JobEvent event;
  std::optional<UnitAttempt> attempt;

  bool operator==(const StoredEvent&) const = default;
};

// What is left of a job that ended and was forgotten before its request id.
struct SpentRequest {
  std::string request_id;
  std::string job;    // uid
  std::string owner;  // as in JobInfo
  JobState state = JobState::kSucceeded;
  Duration ended_after = Duration::zero();  // as in JobRecord

  bool operator==(const SpentRequest&) const = default;
};

// Events that are kept of a job that has ended: the last ones.
inline constexpr size_t kKeptEvents = 100;
inline constexpr size_t kMostActivity = size_t{256} << 10;

// Thread-safe. What fails must not be acted on; it may have been done all the same,
// and every call may be repeated. Calls may block for a disk, but for AddEvents, KeepActivity and
// SetServed.
class JobStore {
 public:
  virtual ~JobStore() = default;

  // Whether it outlives this process.
  virtual bool durable() const = 0;

  // Called once a start of the coordinator: a number that is higher than that of
  // any start before.
  virtual absl::StatusOr<uint64_t> NextEpoch() = 0;

  // For how long coordinators have served with this store, by clocks that nobody sets: the
  // age of ended jobs is counted in it.
  virtual absl::StatusOr<Duration> Served() = 0;
  // Kept soon; never blocks. Lost where the process is killed within moments, or the store
  // fails.
  virtual void SetServed(Duration served) = 0;

  // All records, by sequence.
  virtual absl::StatusOr<std::vector<JobRecord>> Load() = 0;

  // Inserts or replaces the record of `record.info.uid`, and drops another one, or a spent
  // request, with the same request id; kept when it returns. With a terminal state the job's
  // results go, and all but its last events.
  virtual absl::Status Save(const JobRecord& record) = 0;

  // Forgets the job and all of it; not an error when it is not there.
  virtual absl::Status Remove(const std::string& uid) = 0;
  // The same, but its request id, if it has one, is spent from now on.
  virtual absl::Status Retire(const std::string& uid) = 0;
  virtual absl::StatusOr<std::vector<SpentRequest>> LoadSpent() = 0;
  virtual absl::Status ForgetSpent(const std::vector<std::string>& request_ids) = 0;

  // Kept when it returns. What is there of a unit and round stays as it is; results
  // of a job that is not there, or has ended, are dropped. Waits for a disk for a few seconds at
  // most (kUnavailable): who reports them is waited for in turn.
  virtual absl::Status AddResults(std::vector<StoredResult> results) = 0;
  // By round and unit: those behind `after`, of which about `bytes`, one at least. None: there
  // are no more.
  absl::StatusOr<std::vector<StoredResult>> Results(
      const std::string& uid, const std::optional<ResultPlace>& after = std::nullopt,
      uint64_t bytes = UINT64_MAX) {
    return DoResults(uid, after, bytes);
  }
  // Gone when it returns.
  virtual absl::Status ForgetResults(const std::string& uid) = 0;

  // Kept soon, in the order of the calls; never blocks. Lost where the process is
  // killed within moments, or the store fails.
  virtual void AddEvents(const std::string& uid, const std::vector<StoredEvent>& events) = 0;
  virtual absl::StatusOr<std::vector<StoredEvent>> Events(const std::string& uid) = 0;

  // How a job goes that has not ended, as JobRecord::activity; in the place of what was kept
  // before. Kept soon; never blocks. Lost where the process is killed within moments, or the store
  // fails.
  virtual void KeepActivity(const std::string& uid, std::string activity) = 0;
  // What was kept last, or saved with its end; empty where there is none.
  virtual absl::StatusOr<std::string> Activity(const std::string& uid) = 0;

 private:
  virtual absl::StatusOr<std::vector<StoredResult>> DoResults(
      const std::string& uid, const std::optional<ResultPlace>& after, uint64_t bytes) = 0;
};

class MemoryJobStore final : public JobStore {
 public:
  // The epoch starts from the wall clock's second, so that it also rises over
  // restarts of the process, which this store does not remember. The clock must
  // outlive the store.
  explicit MemoryJobStore(const Clock& clock) : clock_(clock) {}

  bool durable() const override { return false; }
  absl::StatusOr<uint64_t> NextEpoch() override;
  absl::StatusOr<Duration> Served() override;
  void SetServed(Duration served) override;
  absl::StatusOr<std::vector<JobRecord>> Load() override;
  absl::Status Save(const JobRecord& record) override;
  absl::Status Remove(const std::string& uid) override;
  absl::Status Retire(const std::string& uid) override;
  absl::StatusOr<std::vector<SpentRequest>> LoadSpent() override;
  absl::Status ForgetSpent(const std::vector<std::string>& request_ids) override;
  absl::Status AddResults(std::vector<StoredResult> results) override;
  absl::Status ForgetResults(const std::string& uid) override;
  void AddEvents(const std::string& uid, const std::vector<StoredEvent>& events) override;
  absl::StatusOr<std::vector<StoredEvent>> Events(const std::string& uid) override;
  void KeepActivity(const std::string& uid, std::string activity) override;
  absl::StatusOr<std::string> Activity(const std::string& uid) override;

 private:
  absl::StatusOr<std::vector<StoredResult>> DoResults(const std::string& uid,
                                                      const std::optional<ResultPlace>& after,
                                                      uint64_t bytes) override;

  struct Entry {
    JobRecord record;
    std::map<std::pair<uint32_t, uint32_t>, StoredResult> results;  // by round and unit
    std::vector<StoredEvent> events;
  };

  const Clock& clock_;
  Mutex mutex_;
  uint64_t epoch_ MERGANSER_GUARDED_BY(mutex_) = 0;
  Duration served_ MERGANSER_GUARDED_BY(mutex_) = Duration::zero();
  std::map<std::string, Entry> entries_ MERGANSER_GUARDED_BY(mutex_);
  std::map<std::string, SpentRequest> spent_ MERGANSER_GUARDED_BY(mutex_);  // by request id
};

// The least epoch of a start at `now`: seconds since 1970, so that it is higher than
// that of a store which was lost.
uint64_t LeastEpoch(WallTime now);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_JOB_STORE_H_
