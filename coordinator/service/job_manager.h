// Jobs from submission to their end. A few threads each take one job at a time
// through planning, running and publishing; units go through the Schedule.
#ifndef MERGANSER_COORDINATOR_SERVICE_JOB_MANAGER_H_
#define MERGANSER_COORDINATOR_SERVICE_JOB_MANAGER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"
#include "common/engine/rounds.h"
#include "common/plan/plan.h"
#include "coordinator/activity/event_kinds.h"
#include "coordinator/activity/fleet.h"
#include "coordinator/activity/job_activity.h"
#include "coordinator/schedule/schedule.h"
#include "coordinator/service/active_plan.h"
#include "coordinator/service/auth/roles.h"
#include "coordinator/service/job.h"
#include "coordinator/service/job_board.h"
#include "coordinator/service/job_counts.h"
#include "coordinator/service/job_list.h"
#include "coordinator/service/job_places.h"
#include "coordinator/service/job_pruning.h"
#include "coordinator/service/job_run.h"
#include "coordinator/service/job_store.h"
#include "coordinator/service/job_story.h"
#include "coordinator/service/job_table.h"
#include "coordinator/service/left_behind.h"
#include "coordinator/service/managed_job.h"
#include "coordinator/service/service_metrics.h"

namespace merganser {

struct JobManagerOptions {
  ScheduleOptions schedule;
  // Planned, run or published at a time. One that waits for storage, or of which no worker
  // has had a unit for `lend_after`, or whose planning has waited for a file system as long,
  // lends its place. It goes on when one is free again, before what is queued.
  int active_jobs = 4;
  Duration lend_after = std::chrono::seconds(5);
  // Threads at most that hang in the planning of jobs that are over.
  size_t left_behind = 8;
  // Inputs of a queued job that a start finds on record may be missing for so long after it:
  // shares are mounted late.
  Duration inputs_wait = std::chrono::minutes(10);
  // More are refused, and of one owner more than there are places left.
  size_t queued_jobs = 1000;
  size_t finished_jobs = 1000;  // beyond these the oldest of who has most are forgotten
  // Older ones too; zero: none. Counted while a coordinator serves: the wall clock may jump.
  Duration finished_age = std::chrono::hours(30 * 24);
  // How often the store is handed how a job goes that runs: a process that is killed loses the
  // throughput of so long.
  Duration keep_activity = std::chrono::seconds(30);
  Duration tick = std::chrono::seconds(1);                   // how often leases are looked at
  Duration watch_interval = std::chrono::milliseconds(500);  // least, between progress messages
  // Pause before what could not be recorded, a publication that storage refused for now, or
  // a storage that a restarted coordinator does not find, is tried again.
  Duration retry_pause = std::chrono::seconds(2);
  std::string program = "merganser";  // name and version, for reports
  // One line of what an operator should know. Called from several threads, some of
  // which hold locks; may be empty.
  LogSink log;
  // One sentence on what a run published; empty where there is none. May read; may be empty.
  std::function<std::string(JobRun&)> verdict;
  // Where jobs, units and workers are counted (service_metrics.h); null: nowhere.
  std::shared_ptr<MetricRegistry> metrics = nullptr;
};

// Thread-safe. Errors carry the reasons that merge_service.proto lists.
//
// Nothing is acted on before the store has it. What cannot be recorded is tried again,
// and the job says what it waits for. The store is never called under the lock, but for
// AddEvents and KeepActivity.
class JobManager {
 public:
  // `clock` and `store` must outlive the manager. Jobs that the store knows as
  // unfinished go on: those that were begun are planned again, which must give the
  // plan on record, their output is taken over, and units on record are not repeated.
  static absl::StatusOr<std::unique_ptr<JobManager>> Start(const JobManagerOptions& options,
                                                           const Clock& clock, JobStore& store,
                                                           JobRunFactory runs);
  ~JobManager();

  // For `owner`, a caller's name.
  absl::StatusOr<JobInfo> Create(const JobRequest& request, const std::string& request_id,
                                 const std::string& owner);
  // Whether Create would look for an earlier job in place of making one.
  bool HasRequest(const std::string& request_id);
  absl::StatusOr<JobInfo> Get(const std::string& name);
  // All jobs, newest first.
  absl::StatusOr<JobPage> List(int page_size, const std::string& page_token) const;
  // Of a job that is not the caller's own an admin alone.
  absl::StatusOr<JobInfo> Cancel(const std::string& name, const Caller& caller);
  // The same of whose it is. Of a job that has not ended, in the queue and in the schedule at
  // once.
  absl::StatusOr<JobInfo> SetPriority(const std::string& name, int32_t priority,
                                      const Caller& caller);
  // The same. Forgets a job that has ended; its request id stays spent.
  absl::Status Delete(const std::string& name, const Caller& caller);

  // Calls `send` with the job as it is and on changes, without its recipe, until
  // a terminal state was sent, `send` returns false or `cancelled()` is true (both
  // OK). `send` runs without any lock.
  absl::Status Watch(const std::string& name, const std::function<bool(const JobInfo&)>& send,
                     const std::function<bool()>& cancelled);

  absl::StatusOr<JobStory> Story(const std::string& name);
  // Of a job that has ended: how it went, as it was put on record, a v1.JobActivity; empty where
  // there is none. Asks the store, which may take a disk's time.
  absl::StatusOr<std::string> EndedStory(const std::string& uid) { return store_.Activity(uid); }
  absl::StatusOr<MeasuredJob> Measured(const std::string& name);
  // For a job on record, a run to read its report with.
  std::unique_ptr<JobRun> RunOf(const JobInfo& job) const { return runs_(job); }
  // By name; `now` for what they hold is WallNow.
  std::vector<WorkerStory> Workers();
  FleetTotals FleetNow();
  // What keeps all jobs from going on; usually empty.
  std::string Trouble();
  WallTime started() const { return started_wall_; }
  const std::string& program() const { return options_.program; }
  // The first tensor of a unit that somebody has; empty where it is not known any more.
  std::string TensorOf(const HeldUnit& unit);
  WallTime WallNow() const { return clock_.WallNow(); }

  // Where all jobs stand, as of a moment ago: states at once, progress within `watch_interval`.
  // Closed when nothing changes any more, since the manager stops.
  const JobBoard& board() const { return board_; }

  absl::StatusOr<WorkerAnswer> Sync(WorkerReport report);
  // nullptr when the job is not running.
  std::shared_ptr<const ActivePlan> FindPlan(const std::string& uid);
  // The serialised gates that are the state of `round`; nullptr when the job is not
  // in it.
  std::shared_ptr<const std::string> FindGates(const std::string& uid, uint32_t round);

  uint64_t epoch() const { return epoch_; }

  // Looks at every job on record.
  JobCounts Counts();

  // Threads that hang in the planning of jobs that are over.
  size_t left_behind() const { return left_behind_.count(); }

  // With a durable store jobs stay as they are, to go on at the next start; else those
  // that are not finished end (kUnavailable), their partial output removed. Waits for
  // publications. Later calls are kUnavailable, but Get, List, and Watch of ended jobs.
  void Shutdown();

 private:
  static constexpr int kMaxRunners = 100;

  using Job = ManagedJob;
  // Changes a copy of the record; under the lock. An error leaves all as it is.
  using Change = std::function<absl::Status(JobRecord&)>;
  enum class Persistence { kOnce, kUntilRecorded };
  using ResultsOnRecord = std::map<UnitOfRound, UnitResult>;

  JobManager(const JobManagerOptions& options, const Clock& clock, JobStore& store,
             JobRunFactory runs, uint64_t epoch, Duration served_before);

  absl::Status Recover();
  // The tick and at least one runner, or an error.
  absl::Status StartThreads();
  void RunnerLoop();
  void TickLoop();
  // Posts what has become of jobs that are under way, or wait in a queue that moved.
  void ShowLoop();
  // Leases that are due, jobs that are old.
  void Tick(MonotonicTime& next_look);
  // Takes a job to its end, whatever is thrown on the way: that is the job's failure.
  void Run(const JobPtr& job);
  void RunToSuccess(const JobPtr& job, JobRun& run, const std::string& summary);
  absl::StatusOr<std::string> RunToPublication(const JobPtr& job,
                                               const std::shared_ptr<JobRun>& run,
                                               bool& request_wrong);
  // Begins the output, or takes up what an earlier process did of it; the summary where
  // all was done.
  absl::StatusOr<std::optional<std::string>> TakeUp(const JobPtr& job,
                                                    const std::shared_ptr<JobRun>& run,
                                                    ActivePlan& active, ResultsOnRecord& on_record,
                                                    JobWorkers& workers, bool& request_wrong);
  // JobRun::Resume, for TakeUp: may be left behind.
  absl::Status TakeOverWrites(const JobPtr& job, const std::shared_ptr<JobRun>& run,
                              std::vector<UnitResult>& done,
                              std::optional<std::vector<PlannedWrite>>& writes);
  // Puts on record that planning begins. Jobs under which a process died while planning plan
  // one at a time, so that the next death is told of the one that causes it.
  absl::Status BeginPlanning(const JobPtr& job);
  void EndPlanning(Job& job) MERGANSER_REQUIRES(mutex_);
  absl::Status ReadResults(const std::string& uid, const Plan& plan,
                           std::vector<UnitResult>& results, JobWorkers& workers);
  // Runs all rounds; the units' results, and who worked on them.
  absl::StatusOr<std::vector<UnitResult>> RunRounds(const JobPtr& job,
                                                    const std::shared_ptr<JobRun>& run,
                                                    const Plan& plan, ResultsOnRecord on_record,
                                                    JobWorkers& workers);
  // After all units of the last round: whether some are to be done again, for the `redone`th time.
  absl::StatusOr<bool> RedoLost(const JobPtr& job, const std::shared_ptr<JobRun>& run,
                                const Plan& plan, JobRounds& rounds, int& redone);
  // After RunRounds, which ended with `rounds`: whether planned writes were gone (JobRun) and are
  // begun again, for the `times_before` + 1st time. Then the rounds are to be run once more, with
  // what `active` and `on_record` are now.
  absl::StatusOr<bool> BegunAgain(const JobPtr& job, const absl::Status& rounds, int times_before,
                                  std::shared_ptr<ActivePlan>& active, ResultsOnRecord& on_record,
                                  JobWorkers& workers);
  // Takes the job off the schedule, with what was done until now.
  void EndRound(Job& job) MERGANSER_REQUIRES(mutex_);
  // What is left to do of a round, after what is on record of it was taken.
  UnitBatch TakeFromRecord(const JobPtr& job, const Plan& plan, JobRounds& rounds,
                           ResultsOnRecord& on_record);
  // Repeats `step` while storage fails for now. Meanwhile the job may be cancelled, and
  // another one has its place: it is repeated in a place of its own, or `without`.
  absl::Status Patiently(const JobPtr& job, const std::function<absl::Status()>& step,
                         bool without = false);
  // One pause of that.
  absl::Status AwaitStorage(Job& job, const absl::Status& why, bool without);
  // Does a step of planning, which may hang in a file system: then the job may be cancelled and
  // the manager stop all the same, and another job has its place. `step` must own all that it
  // uses, and `run` is not to be used any more where it was left in it.
  absl::Status Leavable(const JobPtr& job, const std::shared_ptr<JobRun>& run, bool writes,
                        std::function<absl::Status()> step);
  // Lets another job have its place, and back, though there be none free.
  void Lend(Job& job) MERGANSER_REQUIRES(mutex_);
  void TakeBack(Job& job) MERGANSER_REQUIRES(mutex_);
  // Waits for a place where its own was lent. An error as Interruption has it.
  absl::Status AwaitPlace(Job& job) MERGANSER_REQUIRES(mutex_);
  void SetWantsPlace(Job& job, bool wants) MERGANSER_REQUIRES(mutex_);
  // Lends the places of jobs that no worker does anything of.
  void LendIdle(MonotonicTime now) MERGANSER_REQUIRES(mutex_);
  // Before workers ask for units: of those jobs as many may go on as places are free.
  void HoldLent() MERGANSER_REQUIRES(mutex_);
  // After it: which of the others could have.
  void NoteMissed(MonotonicTime now) MERGANSER_REQUIRES(mutex_);
  // Starts a thread for a place that was lent, unless there are very many.
  void AddRunner() MERGANSER_REQUIRES(mutex_);
  // Waits out a pause, or until `cancellable` is cancelled; kUnavailable when the manager
  // stops first.
  absl::Status Pause(const Job* cancellable = nullptr) MERGANSER_REQUIRES(mutex_);
  void RunToFailure(const JobPtr& job, const std::shared_ptr<JobRun>& run, absl::Status status,
                    bool request_wrong);
  absl::Status AwaitUnits(const JobPtr& job) MERGANSER_REQUIRES(mutex_);
  absl::Status Interruption(const Job& job) const MERGANSER_REQUIRES(mutex_);
  // Has the store keep the job as `change` makes it, then makes it so. An error of
  // `change`, of the store (kOnce), or kUnavailable when the manager stops first.
  absl::Status Record(const JobPtr& job, Persistence persistence, const Change& change);
  // Puts completed units on record; those that cannot be become `report.unrecorded`.
  void RecordResults(WorkerReport& report);
  // Never throws: what there is no memory for is not told.
  void AddEvent(Job& job, std::string_view text, std::optional<UnitAttempt> attempt = std::nullopt)
      MERGANSER_REQUIRES(mutex_);
  void NoteTrouble() MERGANSER_REQUIRES(mutex_);
  void SetRecordTrouble(const absl::Status& status) MERGANSER_REQUIRES(mutex_);
  // For how long coordinators have served, this one included.
  Duration Served() const { return served_before_ + (clock_.Now() - started_); }
  KeptJobs Kept() const { return {options_.finished_jobs, options_.finished_age}; }
  // Takes finished jobs beyond the limits out; what the store is to forget of them.
  JobTable::Forgotten TakeOldJobs() MERGANSER_REQUIRES(mutex_);
  void RemoveFromStore(const JobTable::Forgotten& forgotten);
  void TellForgotten() MERGANSER_REQUIRES(mutex_);
  void Log(const LogLine& line) const;
  void Log(LogLevel level, const std::string& line) const { Log(LogLine{level, line}); }
  JobInfo Snapshot(const Job& job) const MERGANSER_REQUIRES(mutex_);
  JobInfo WithRecipe(const Job& job) const MERGANSER_REQUIRES(mutex_);
  // Posts the job as it is now. Never throws: what there is no memory for is posted later.
  void Show(Job& job) MERGANSER_REQUIRES(mutex_);
  // Wakes the runners of jobs that have nothing left to schedule.
  void NoteEnded() MERGANSER_REQUIRES(mutex_);
  JobStory StoryOf(const Job& job) const MERGANSER_REQUIRES(mutex_);
  // What is put on record of how the job goes, or went, that is `info` now.
  std::string StoryForRecord(const Job& job, const JobInfo& info) const MERGANSER_REQUIRES(mutex_);
  // Hands the store how jobs go that run, each every `keep_activity`.
  void KeepActivities(MonotonicTime now) MERGANSER_REQUIRES(mutex_);
  // How far its units are, for its activity.
  void Sample(Job& job) MERGANSER_REQUIRES(mutex_);
  JobPace Pace(const Job& job, const ScheduleStatus& status) const MERGANSER_REQUIRES(mutex_);
  // A unit that counts, or one on record.
  void NoteDone(Job& job, const Plan& plan, const Gates& gates, const UnitResult& result,
                bool recorded) MERGANSER_REQUIRES(mutex_);
  void BeginRound(const JobPtr& job, const Plan& plan, const JobRounds& rounds);
  // Never throws.
  void Unschedule(Job& job) MERGANSER_REQUIRES(mutex_);

  const JobManagerOptions options_;
  const Clock& clock_;
  JobStore& store_;
  const JobRunFactory runs_;
  const uint64_t epoch_;
  const Duration served_before_;
  const MonotonicTime started_;
  const WallTime started_wall_;
  LeftBehind left_behind_;
  JobBoard board_;
  const ServiceMetrics metrics_;

  Mutex create_mutex_;  // taken before mutex_: one job is created at a time
  Mutex mutex_;
  CondVar changed_;  // jobs, their places, or stopping_; but for units: Job::ended
  CondVar stop_tick_;
  bool stopping_ MERGANSER_GUARDED_BY(mutex_) = false;
  Schedule schedule_ MERGANSER_GUARDED_BY(mutex_);
  JobTable table_ MERGANSER_GUARDED_BY(mutex_);
  JobPlaces places_ MERGANSER_GUARDED_BY(mutex_);
  MonotonicTime next_told_ MERGANSER_GUARDED_BY(mutex_);     // of what was forgotten
  std::string record_trouble_ MERGANSER_GUARDED_BY(mutex_);  // of results, the last time
  int runners_ MERGANSER_GUARDED_BY(mutex_) = 0;
  bool planning_alone_ MERGANSER_GUARDED_BY(mutex_) = false;  // by a job that plans_alone
  std::vector<Thread> threads_ MERGANSER_GUARDED_BY(mutex_);  // never more than reserved
  Mutex fleet_mutex_;                                         // after mutex_
  Fleet fleet_ MERGANSER_GUARDED_BY(fleet_mutex_);
  MetricRegistry::Collector collector_;  // last: it looks at all of this
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_JOB_MANAGER_H_
