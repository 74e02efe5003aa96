// Jobs from submission to their end. A few threads each take one job at a time
// through planning, running and publishing; units go through the Schedule.
#ifndef MERGANSER_COORDINATOR_SERVICE_JOB_MANAGER_H_
#define MERGANSER_COORDINATOR_SERVICE_JOB_MANAGER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/plan/plan.h"
#include "coordinator/schedule/schedule.h"
#include "coordinator/service/job.h"
#include "coordinator/service/job_run.h"
#include "coordinator/service/job_store.h"

namespace merganser {

struct JobManagerOptions {
  ScheduleOptions schedule;
  int active_jobs = 4;                                       // planned, run or published at a time
  size_t queued_jobs = 1000;                                 // more are refused
  size_t finished_jobs = 1000;                               // the oldest beyond are forgotten
  Duration tick = std::chrono::seconds(1);                   // how often leases are looked at
  Duration watch_interval = std::chrono::milliseconds(500);  // least, between progress messages
  std::string program = "merganser";                         // name and version, for reports
};

struct JobPage {
  std::vector<JobInfo> jobs;  // newest first, without recipes
  std::string next_page_token;
};

// What workers need of a running job.
struct ActivePlan {
  const Plan* plan = nullptr;  // valid while `run` is held
  std::shared_ptr<JobRun> run;
  std::string serialized;  // a JobPlan
};

// Thread-safe. Errors carry the reasons that merge_service.proto lists.
class JobManager {
 public:
  // `clock` and `store` must outlive the manager. Jobs that the store knows as
  // unfinished are marked as failed (kUnavailable): their leases died with the
  // coordinator that gave them.
  static absl::StatusOr<std::unique_ptr<JobManager>> Start(const JobManagerOptions& options,
                                                           const Clock& clock, JobStore& store,
                                                           JobRunFactory runs);
  ~JobManager();

  absl::StatusOr<JobInfo> Create(const JobRequest& request, const std::string& request_id);
  absl::StatusOr<JobInfo> Get(const std::string& name);
  absl::StatusOr<JobPage> List(int page_size, const std::string& page_token);
  absl::StatusOr<JobInfo> Cancel(const std::string& name);

  // Calls `send` with the job as it is and on changes, without its recipe, until
  // a terminal state was sent, `send` returns false or `cancelled()` is true (both
  // OK). `send` runs without any lock.
  absl::Status Watch(const std::string& name, const std::function<bool(const JobInfo&)>& send,
                     const std::function<bool()>& cancelled);

  absl::StatusOr<WorkerAnswer> Sync(WorkerReport report);
  // nullptr when the job is not running.
  std::shared_ptr<const ActivePlan> FindPlan(const std::string& uid);
  // The serialised gates that are the state of `round`; nullptr when the job is not
  // in it.
  std::shared_ptr<const std::string> FindGates(const std::string& uid, uint32_t round);

  uint64_t epoch() const { return epoch_; }

  // Ends the jobs that are not finished (kUnavailable), removes their partial
  // output and waits for it; every later call is kUnavailable, but Get, List and
  // Watch go on. Called twice, the second does nothing.
  void Shutdown();

 private:
  struct Job {
    JobRecord record;
    bool cancel = false;
    bool scheduled = false;
    std::shared_ptr<const ActivePlan> plan;
    uint32_t round = 0;
    std::shared_ptr<const std::string> gates;  // state of the round
    JobProgress before;                        // of the rounds that are over; totals of all
  };
  using JobPtr = std::shared_ptr<Job>;

  JobManager(const JobManagerOptions& options, const Clock& clock, JobStore& store,
             JobRunFactory runs, uint64_t epoch);

  absl::Status Recover();
  void RunnerLoop();
  void TickLoop();
  void Run(const JobPtr& job);
  absl::StatusOr<std::string> RunToPublication(const JobPtr& job,
                                               const std::shared_ptr<JobRun>& run,
                                               bool& request_wrong);
  // Runs all rounds; the units' results, and who worked on them.
  absl::StatusOr<std::vector<UnitResult>> RunRounds(const JobPtr& job, const Plan& plan,
                                                    JobWorkers& workers);
  absl::Status AwaitUnits(const JobPtr& job) MERGANSER_REQUIRES(mutex_);
  absl::Status Interruption(const Job& job) const MERGANSER_REQUIRES(mutex_);
  absl::StatusOr<JobPtr> Find(const std::string& name) MERGANSER_REQUIRES(mutex_);
  JobInfo Snapshot(const Job& job, bool with_recipe) const MERGANSER_REQUIRES(mutex_);
  void Unschedule(Job& job) MERGANSER_REQUIRES(mutex_);
  void SetState(Job& job, JobState state) MERGANSER_REQUIRES(mutex_);
  void Finish(Job& job, const absl::Status& status, bool request_wrong) MERGANSER_REQUIRES(mutex_);
  void ForgetOldJobs() MERGANSER_REQUIRES(mutex_);

  const JobManagerOptions options_;
  const Clock& clock_;
  JobStore& store_;
  const JobRunFactory runs_;
  const uint64_t epoch_;

  Mutex mutex_;
  CondVar changed_;  // jobs, their units, or stopping_
  CondVar stop_tick_;
  bool stopping_ MERGANSER_GUARDED_BY(mutex_) = false;
  Schedule schedule_ MERGANSER_GUARDED_BY(mutex_);
  std::map<std::string, JobPtr> jobs_ MERGANSER_GUARDED_BY(mutex_);  // by uid
  std::map<uint64_t, JobPtr> by_sequence_ MERGANSER_GUARDED_BY(mutex_);
  std::map<std::string, JobPtr> by_request_ MERGANSER_GUARDED_BY(mutex_);
  std::deque<JobPtr> queue_ MERGANSER_GUARDED_BY(mutex_);
  uint64_t next_sequence_ MERGANSER_GUARDED_BY(mutex_) = 1;
  std::vector<std::thread> threads_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_JOB_MANAGER_H_
