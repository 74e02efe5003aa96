#include "coordinator/service/job_manager.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/random_id.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "coordinator/service/job_limits.h"
#include "coordinator/service/job_log.h"
#include "coordinator/service/planning_deaths.h"
#include "coordinator/service/recipe_facts.h"
#include "coordinator/service/requests.h"
#include "coordinator/service/story_codec.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

constexpr size_t kTokenBytes = 16;
constexpr Duration kLookForOldJobs = std::chrono::minutes(1);
constexpr Duration kTellForgotten = std::chrono::minutes(1);

std::string Text(const absl::Status& status) { return OneLine(std::string(status.message())); }

}  // namespace

JobManager::JobManager(const JobManagerOptions& options, const Clock& clock, JobStore& store,
                       JobRunFactory runs, uint64_t epoch, Duration served_before)
    : options_(options),
      clock_(clock),
      store_(store),
      runs_(std::move(runs)),
      epoch_(epoch),
      served_before_(served_before),
      started_(clock.Now()),
      started_wall_(clock.WallNow()),
      left_behind_(options.left_behind),
      metrics_(options.metrics),
      schedule_(options.schedule, epoch, [] { return RandomHex(kTokenBytes); }),
      places_(options.active_jobs),
      fleet_(options.schedule.worker_timeout) {
  collector_ = metrics_.registry().Collect([this] { metrics_.Show(Counts()); });
}

absl::StatusOr<std::unique_ptr<JobManager>> JobManager::Start(const JobManagerOptions& options,
                                                              const Clock& clock, JobStore& store,
                                                              JobRunFactory runs) {
  MERGANSER_ASSIGN_OR_RETURN(const uint64_t epoch, store.NextEpoch());
  MERGANSER_ASSIGN_OR_RETURN(const Duration served, store.Served());
  std::unique_ptr<JobManager> manager(
      new JobManager(options, clock, store, std::move(runs), epoch, served));
  MERGANSER_RETURN_IF_ERROR(manager->Recover());
  MERGANSER_RETURN_IF_ERROR(manager->StartThreads());
  return manager;
}

absl::Status JobManager::StartThreads() {
  MutexLock lock(mutex_);
  threads_.reserve(static_cast<size_t>(std::max(kMaxRunners, options_.active_jobs)) + 2);
  MERGANSER_ASSIGN_OR_RETURN(Thread tick, Thread::Start([this] { TickLoop(); }));
  threads_.push_back(std::move(tick));
  MERGANSER_ASSIGN_OR_RETURN(Thread show, Thread::Start([this] { ShowLoop(); }));
  threads_.push_back(std::move(show));
  for (; runners_ < options_.active_jobs; ++runners_) {
    absl::StatusOr<Thread> runner = Thread::Start([this] { RunnerLoop(); });
    if (!runner.ok() && runners_ > 0) {
      Log(LogLevel::kWarn, absl::StrCat("takes up ", runners_, " jobs at a time instead of ",
                                        options_.active_jobs, ": ", Text(runner.status())));
      break;
    }
    MERGANSER_RETURN_IF_ERROR(runner.status());
    threads_.push_back(*std::move(runner));
  }
  return absl::OkStatus();
}

JobManager::~JobManager() {
  Shutdown();
  metrics_.Show(Counts());  // the last word, for who tells it when this is gone
}

absl::Status JobManager::Recover() {
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<JobRecord> records, store_.Load());
  MERGANSER_ASSIGN_OR_RETURN(std::vector<SpentRequest> spent, store_.LoadSpent());
  JobTable::Forgotten forgotten;
  size_t unfinished = 0;
  for (const JobRecord& record : records) {
    MERGANSER_ASSIGN_OR_RETURN(const std::vector<StoredEvent> events,
                               store_.Events(record.info.uid));
    auto job = std::make_shared<Job>();
    job->record = record;
    BoundTexts(job->record.info);
    if (record.info.method.empty()) SetRecipeFacts(record.info.request.recipe, job->record.info);
    job->recipe = std::make_shared<const std::string>(
        std::exchange(job->record.info.request.recipe, std::string()));
    for (const StoredEvent& stored : events) {
      job->events.push_back({stored.event.time, Cut(stored.event.text, kMaxEventText)});
      if (job->events.size() > kKeptEvents) job->events.pop_front();
      job->folded.Add(stored.event.time, job->events.back().text);
      if (!stored.attempt.has_value()) continue;
      UnitAttempts& attempts = job->attempts[{stored.attempt->round, stored.attempt->unit}];
      ++attempts.count;
      ++job->before.retries;
      (stored.attempt->reported ? attempts.failed_on : attempts.lost_on)
          .insert(stored.attempt->worker);
    }
    job->planning_deaths = PlanningDeaths(events);
    if (!IsTerminal(record.info.state)) {
      // Without it the job goes on all the same.
      job->earlier_history = HistoryOf(store_.Activity(record.info.uid).value_or(""));
    }
    job->cancel = record.info.cancelling;
    job->progress = record.info.progress;  // on record of ended jobs alone
    if (!IsTerminal(record.info.state)) job->progress.retries = job->before.retries;
    MutexLock lock(mutex_);
    table_.Add(job);
    if (record.info.created.has_value()) {
      job->phases.push_back({JobState::kQueued, *record.info.created});
    }
    if (record.info.started.has_value()) {
      job->phases.push_back({record.info.state, *record.info.started});
    }
    if (!IsTerminal(record.info.state)) {
      ++unfinished;
      job->found = true;
      job->recovered = record.info.state != JobState::kQueued;
      if (job->recovered) AddEvent(*job, kStartedAgain);
      places_.Enqueue(job);
    }
    Show(*job);
  }
  {
    MutexLock lock(mutex_);
    for (SpentRequest& request : spent) table_.AddSpent(std::move(request));
    forgotten = TakeOldJobs();
    TellForgotten();
  }
  RemoveFromStore(forgotten);
  if (!records.empty()) {
    Log(LogLevel::kInfo,
        absl::StrCat("found ", records.size(), records.size() == 1 ? " job" : " jobs",
                     " on record; ", unfinished, unfinished == 1 ? " goes on" : " go on"));
  }
  return absl::OkStatus();
}

void JobManager::Shutdown() {
  std::vector<Thread> threads;
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
    for (const auto& [sequence, job] : table_.jobs()) {
      if (job->plans) AddEvent(*job, "the coordinator stops before it is planned");
    }
    for (const auto& [sequence, job] : places_.taken()) job->ended.NotifyAll();
    changed_.NotifyAll();
    stop_tick_.NotifyAll();
    threads.swap(threads_);  // nobody adds one any more
  }
  // Jobs go on, and so may the watching; else watchers wait for the end of theirs.
  if (store_.durable()) board_.Close();
  for (Thread& thread : threads) thread.Join().IgnoreError();
  std::deque<JobPtr> queued;
  {
    MutexLock lock(mutex_);
    queued = places_.TakeQueue();
    Guarded([&] {
      mutex_.AssertHeld();
      TellForgotten();
    }).IgnoreError();
  }
  Guarded([&] { store_.SetServed(Served()); }).IgnoreError();
  if (store_.durable()) return;
  for (const JobPtr& job : queued) {
    Guarded([&] {
      RunToFailure(job, nullptr, CoordinatorStopping(), /*request_wrong=*/false);
    }).IgnoreError();
  }
  board_.Close();
}

absl::StatusOr<JobInfo> JobManager::Create(const JobRequest& request, const std::string& request_id,
                                           const std::string& owner) {
  MERGANSER_RETURN_IF_ERROR(CheckJobRequest(request, request_id));
  MutexLock creating(create_mutex_);
  auto job = std::make_shared<Job>();
  {
    MutexLock lock(mutex_);
    MERGANSER_ASSIGN_OR_RETURN(const JobPtr there, table_.FindRequest(request, request_id, owner));
    if (there != nullptr) return WithRecipe(*there);
    if (stopping_) return CoordinatorStopping();
    MERGANSER_RETURN_IF_ERROR(places_.CheckQueue(owner, options_.queued_jobs));
    job->record.sequence = table_.NextSequence();
  }
  job->record.request_id = request_id;
  JobInfo& info = job->record.info;
  info.uid = RandomHex(8);
  info.name = JobName(info.uid);
  info.owner = owner;
  info.request = request;
  SetRecipeFacts(request.recipe, info);
  info.created = clock_.WallNow();
  job->phases.push_back({JobState::kQueued, *info.created});
  if (const absl::Status saved = Guarded([&] { return store_.Save(job->record); }); !saved.ok()) {
    // It may be there all the same. If it cannot be removed either, it is found at the
    // next start, unless the client repeats its request: the request id replaces it.
    store_.Remove(info.uid).IgnoreError();
    return NotRecorded(saved);
  }
  job->recipe =
      std::make_shared<const std::string>(std::exchange(info.request.recipe, std::string()));
  MutexLock lock(mutex_);
  // On record it goes on at the next start; without one nobody would end it.
  if (stopping_ && !store_.durable()) return CoordinatorStopping();
  const absl::Status queued = Guarded([&] {
    mutex_.AssertHeld();
    places_.Enqueue(job);
    table_.Add(job);
  });
  if (!queued.ok()) {
    // As if the process had ended here: on record, and found at the next start.
    places_.Withdraw(job);
    return NotRecorded(queued);
  }
  AddEvent(*job, "created");
  Log(SubmittedLine(info));
  Show(*job);
  changed_.NotifyAll();
  return WithRecipe(*job);
}

bool JobManager::HasRequest(const std::string& request_id) {
  MutexLock lock(mutex_);
  return table_.HasRequest(request_id);
}

absl::StatusOr<JobInfo> JobManager::Get(const std::string& name) {
  MutexLock lock(mutex_);
  MERGANSER_ASSIGN_OR_RETURN(const JobPtr job, table_.Find(name));
  JobInfo info = WithRecipe(*job);
  info.events.assign(job->events.begin(), job->events.end());
  return info;
}

absl::StatusOr<JobPage> JobManager::List(int page_size, const std::string& page_token) const {
  return ListJobs(board_, {page_size, page_token});
}

absl::StatusOr<JobInfo> JobManager::Cancel(const std::string& name, const Caller& caller) {
  JobPtr job;
  bool queued = false;
  {
    MutexLock lock(mutex_);
    MERGANSER_ASSIGN_OR_RETURN(job, table_.Find(name));
    MERGANSER_RETURN_IF_ERROR(CheckOwner(job->record.info, caller));
    // Nobody takes it up while its end is recorded.
    queued = !job->recovered && places_.Withdraw(job);
  }
  bool refused = false, done = false;
  const auto cancel = [&](JobRecord& record) -> absl::Status {
    const JobState state = record.info.state;
    const bool publishing = state == JobState::kPublishing && !job->waits;
    if (state == JobState::kSucceeded || state == JobState::kFailed || publishing) {
      refused = true;
      return ReasonedError(absl::StatusCode::kFailedPrecondition,
                           publishing ? "JOB_PUBLISHING" : "JOB_FINISHED",
                           absl::StrCat(name, ": found it ", std::string(JobStateName(state)),
                                        ", expected a job that is queued, planning or running"),
                           {{"job", name}});
    }
    // A job that was taken from the queue above ends here, whoever else cancels it as well.
    if (state == JobState::kCancelled || (record.info.cancelling && !queued)) {
      done = true;
      return absl::AlreadyExistsError("cancelled before");  // nothing to record
    }
    record.info.cancelling = !queued;
    if (queued) {
      record.info.state = JobState::kCancelled;
      record.info.finished = clock_.WallNow();
    }
    return absl::OkStatus();
  };
  const absl::Status recorded = Guarded([&] { return Record(job, Persistence::kOnce, cancel); });
  MutexLock lock(mutex_);
  if (!recorded.ok() && !done) {
    if (queued) places_.PutBack(job);
    changed_.NotifyAll();
    return refused ? recorded : NotRecorded(recorded);
  }
  if (!job->cancel && !done) {
    const JobInfo& info = job->record.info;
    Log(CallerLine(info, "cancelled", caller.name));
    job->cancel = true;
    if (!queued) AddEvent(*job, kBeingCancelled);
    Unschedule(*job);
    Show(*job);
    changed_.NotifyAll();
  }
  return WithRecipe(*job);
}

absl::StatusOr<WorkerAnswer> JobManager::Sync(WorkerReport report) {
  {
    MutexLock lock(mutex_);
    if (stopping_) return CoordinatorStopping();
  }
  {
    MutexLock lock(fleet_mutex_);
    fleet_.Called(report, clock_.Now(), clock_.WallNow());
  }
  RecordResults(report);
  MutexLock lock(mutex_);
  if (stopping_) return CoordinatorStopping();
  const MonotonicTime now = clock_.Now();
  HoldLent();
  absl::StatusOr<WorkerAnswer> answer = schedule_.Sync(std::move(report), now);
  NoteMissed(now);
  NoteTrouble();
  if (answer.ok()) {
    for (const LeaseGrant& lease : answer->leases) TakeBack(*table_.Get(lease.job));
  }
  NoteEnded();
  return answer;
}

std::shared_ptr<const ActivePlan> JobManager::FindPlan(const std::string& uid) {
  MutexLock lock(mutex_);
  const JobPtr job = table_.Get(uid);
  return job == nullptr ? nullptr : job->plan;
}

std::shared_ptr<const std::string> JobManager::FindGates(const std::string& uid, uint32_t round) {
  MutexLock lock(mutex_);
  const JobPtr job = table_.Get(uid);
  return job == nullptr || job->round != round ? nullptr : job->gates;
}

void JobManager::TickLoop() {
  MonotonicTime next_look = started_ + kLookForOldJobs;  // Recover has looked
  while (true) {
    {
      MutexLock lock(mutex_);
      if (stopping_) return;
      stop_tick_.WaitFor(mutex_, options_.tick);
      if (stopping_) return;
    }
    // What it has no memory for now it does with the next.
    Guarded([&] { Tick(next_look); }).IgnoreError();
  }
}

void JobManager::Tick(MonotonicTime& next_look) {
  JobTable::Forgotten forgotten;
  bool looks = false;
  {
    MutexLock lock(mutex_);
    const MonotonicTime now = clock_.Now();
    schedule_.Tick(now);
    NoteTrouble();
    NoteEnded();
    LendIdle(now);
    KeepActivities(now);
    looks = now >= next_look;
    if (looks) {
      forgotten = TakeOldJobs();
      next_look = now + kLookForOldJobs;
    }
    if (now >= next_told_ && table_.took_some()) {
      TellForgotten();
      next_told_ = now + kTellForgotten;
    }
    changed_.NotifyAll();
  }
  {
    MutexLock lock(fleet_mutex_);
    fleet_.Tick(clock_.Now());
  }
  RemoveFromStore(forgotten);
  // What a failure loses is a minute of the age of what has ended.
  if (looks) store_.SetServed(Served());
}

absl::Status JobManager::Pause(const Job* cancellable) {
  const auto until = std::chrono::steady_clock::now() + options_.retry_pause;
  while (!stopping_) {
    if (cancellable != nullptr && cancellable->cancel) return absl::OkStatus();
    const auto left = until - std::chrono::steady_clock::now();
    if (left <= Duration::zero()) return absl::OkStatus();
    changed_.WaitFor(mutex_, left);
  }
  return CoordinatorStopping();
}

absl::Status JobManager::Interruption(const Job& job) const {
  if (job.cancel) return absl::CancelledError("cancelled");
  return stopping_ ? CoordinatorStopping() : absl::OkStatus();
}

void JobManager::NoteEnded() {
  for (const std::string& uid : schedule_.TakeEnded()) {
    if (const JobPtr job = table_.Get(uid); job != nullptr) job->ended.NotifyAll();
  }
}

// Keeps the last progress and takes the job's leases away.
void JobManager::Unschedule(Job& job) {
  if (job.scheduled) {
    Guarded([&] {
      mutex_.AssertHeld();
      job.progress = Snapshot(job).progress;
    }).IgnoreError();
    job.progress.units_leased = 0;
    job.progress.workers = 0;
    job.progress.detail.clear();
    schedule_.RemoveJob(job.record.info.uid);
    job.scheduled = false;
    TakeBack(job);
  }
  job.ended.NotifyAll();
  // Between two rounds it is not scheduled, and has both.
  job.plan.reset();
  job.gates.reset();
}

}  // namespace merganser
