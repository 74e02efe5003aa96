#include "coordinator/service/job_manager.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "coordinator/service/random_id.h"
#include "coordinator/service/requests.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

constexpr size_t kTokenBytes = 16;

absl::Status Stopping() {
  return ReasonedError(absl::StatusCode::kUnavailable, "COORDINATOR_STOPPING",
                       "the coordinator is shutting down; submit again when it is back");
}

std::string ErrorReason(const absl::Status& status, bool request_wrong) {
  if (IsRetryable(status)) return "RETRY_MAY_HELP";
  return request_wrong ? "REQUEST_WRONG" : "RUN_FAILED";
}

}  // namespace

JobManager::JobManager(const JobManagerOptions& options, const Clock& clock, JobStore& store,
                       JobRunFactory runs, uint64_t epoch)
    : options_(options),
      clock_(clock),
      store_(store),
      runs_(std::move(runs)),
      epoch_(epoch),
      schedule_(options.schedule, epoch, [] { return RandomHex(kTokenBytes); }) {}

absl::StatusOr<std::unique_ptr<JobManager>> JobManager::Start(const JobManagerOptions& options,
                                                              const Clock& clock, JobStore& store,
                                                              JobRunFactory runs) {
  MERGANSER_ASSIGN_OR_RETURN(const uint64_t epoch, store.NextEpoch());
  std::unique_ptr<JobManager> manager(
      new JobManager(options, clock, store, std::move(runs), epoch));
  MERGANSER_RETURN_IF_ERROR(manager->Recover());
  for (int i = 0; i < options.active_jobs; ++i) {
    manager->threads_.emplace_back([m = manager.get()] { m->RunnerLoop(); });
  }
  manager->threads_.emplace_back([m = manager.get()] { m->TickLoop(); });
  return manager;
}

JobManager::~JobManager() { Shutdown(); }

absl::Status JobManager::Recover() {
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<JobRecord> records, store_.Load());
  MutexLock lock(mutex_);
  for (const JobRecord& record : records) {
    auto job = std::make_shared<Job>();
    job->record = record;
    next_sequence_ = std::max(next_sequence_, record.sequence + 1);
    jobs_[record.info.uid] = job;
    by_sequence_[record.sequence] = job;
    if (!record.request_id.empty()) by_request_[record.request_id] = job;
    if (!IsTerminal(record.info.state)) {
      Finish(*job,
             absl::UnavailableError("the coordinator was restarted while the job was not "
                                    "finished; submit it again, with --overwrite if its claim "
                                    "is still at the output"),
             /*request_wrong=*/false);
    }
  }
  ForgetOldJobs();
  return absl::OkStatus();
}

void JobManager::Shutdown() {
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
    changed_.NotifyAll();
    stop_tick_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
  MutexLock lock(mutex_);
  for (const JobPtr& job : queue_) Finish(*job, Stopping(), /*request_wrong=*/false);
  queue_.clear();
}

absl::StatusOr<JobInfo> JobManager::Create(const JobRequest& request,
                                           const std::string& request_id) {
  MERGANSER_RETURN_IF_ERROR(CheckJobRequest(request, request_id));
  MutexLock lock(mutex_);
  if (const auto it = by_request_.find(request_id);
      !request_id.empty() && it != by_request_.end()) {
    const Job& job = *it->second;
    if (job.record.info.request == request) return Snapshot(job, /*with_recipe=*/true);
    return ReasonedError(absl::StatusCode::kAlreadyExists, "REQUEST_ID_REUSED",
                         absl::StrCat("request_id \"", request_id, "\" made ", job.record.info.name,
                                      " from another request; use a fresh one"),
                         {{"job", job.record.info.name}});
  }
  if (stopping_) return Stopping();
  if (queue_.size() >= options_.queued_jobs) {
    return ReasonedError(
        absl::StatusCode::kResourceExhausted, "TOO_MANY_JOBS",
        absl::StrCat("found ", queue_.size(), " jobs in the queue, expected fewer than ",
                     options_.queued_jobs, "; try again later"));
  }
  auto job = std::make_shared<Job>();
  job->record.sequence = next_sequence_;
  job->record.request_id = request_id;
  JobInfo& info = job->record.info;
  info.uid = RandomHex(8);
  info.name = JobName(info.uid);
  info.request = request;
  info.created = clock_.WallNow();
  MERGANSER_RETURN_IF_ERROR(store_.Save(job->record));
  ++next_sequence_;
  jobs_[info.uid] = job;
  by_sequence_[job->record.sequence] = job;
  if (!request_id.empty()) by_request_[request_id] = job;
  queue_.push_back(job);
  changed_.NotifyAll();
  return Snapshot(*job, /*with_recipe=*/true);
}

absl::StatusOr<JobInfo> JobManager::Get(const std::string& name) {
  MutexLock lock(mutex_);
  MERGANSER_ASSIGN_OR_RETURN(const JobPtr job, Find(name));
  return Snapshot(*job, /*with_recipe=*/true);
}

absl::StatusOr<JobPage> JobManager::List(int page_size, const std::string& page_token) {
  MERGANSER_ASSIGN_OR_RETURN(const int size, CoercePageSize(page_size));
  uint64_t before = UINT64_MAX;
  if (!page_token.empty()) {
    MERGANSER_ASSIGN_OR_RETURN(before, ParsePageToken(page_token));
  }
  JobPage page;
  MutexLock lock(mutex_);
  uint64_t last = 0;
  for (auto it = by_sequence_.lower_bound(before); it != by_sequence_.begin();) {
    --it;
    if (page.jobs.size() == static_cast<size_t>(size)) {
      page.next_page_token = MakePageToken(last);
      break;
    }
    last = it->first;
    page.jobs.push_back(Snapshot(*it->second, /*with_recipe=*/false));
  }
  return page;
}

absl::StatusOr<JobInfo> JobManager::Cancel(const std::string& name) {
  MutexLock lock(mutex_);
  MERGANSER_ASSIGN_OR_RETURN(const JobPtr job, Find(name));
  const JobState state = job->record.info.state;
  if (state == JobState::kSucceeded || state == JobState::kFailed ||
      state == JobState::kPublishing) {
    const bool publishing = state == JobState::kPublishing;
    return ReasonedError(absl::StatusCode::kFailedPrecondition,
                         publishing ? "JOB_PUBLISHING" : "JOB_FINISHED",
                         absl::StrCat(name, ": found it ", std::string(JobStateName(state)),
                                      ", expected a job that is queued, planning or running"),
                         {{"job", name}});
  }
  if (state != JobState::kCancelled && !job->cancel) {
    job->cancel = true;
    job->record.info.cancelling = true;
    Unschedule(*job);
    if (const auto it = std::find(queue_.begin(), queue_.end(), job); it != queue_.end()) {
      queue_.erase(it);
      Finish(*job, absl::CancelledError("cancelled while queued"), /*request_wrong=*/false);
    }
    changed_.NotifyAll();
  }
  return Snapshot(*job, /*with_recipe=*/true);
}

absl::Status JobManager::Watch(const std::string& name,
                               const std::function<bool(const JobInfo&)>& send,
                               const std::function<bool()>& cancelled) {
  JobPtr job;
  {
    MutexLock lock(mutex_);
    MERGANSER_ASSIGN_OR_RETURN(job, Find(name));
  }
  std::optional<JobInfo> sent;
  auto sent_at = std::chrono::steady_clock::now();
  while (!cancelled()) {
    std::optional<JobInfo> due;
    {
      MutexLock lock(mutex_);
      JobInfo now = Snapshot(*job, /*with_recipe=*/false);
      const bool news = !sent || now.state != sent->state || now.cancelling != sent->cancelling;
      const bool paused = std::chrono::steady_clock::now() - sent_at >= options_.watch_interval;
      if (news || (paused && now != *sent)) {
        due = std::move(now);
      } else {
        // Short, because a client that went away does not wake us.
        changed_.WaitFor(mutex_, std::min<Duration>(options_.watch_interval / 2,
                                                    std::chrono::milliseconds(250)));
      }
    }
    if (!due) continue;
    if (!send(*due) || IsTerminal(due->state)) break;
    sent = std::move(due);
    sent_at = std::chrono::steady_clock::now();
  }
  return absl::OkStatus();
}

absl::StatusOr<WorkerAnswer> JobManager::Sync(WorkerReport report) {
  MutexLock lock(mutex_);
  if (stopping_) return Stopping();
  const bool news = !report.completed.empty() || !report.failed.empty();
  absl::StatusOr<WorkerAnswer> answer = schedule_.Sync(std::move(report), clock_.Now());
  if (news || (answer.ok() && !answer->leases.empty())) changed_.NotifyAll();
  return answer;
}

std::shared_ptr<const ActivePlan> JobManager::FindPlan(const std::string& uid) {
  MutexLock lock(mutex_);
  const auto it = jobs_.find(uid);
  return it == jobs_.end() ? nullptr : it->second->plan;
}

std::shared_ptr<const std::string> JobManager::FindGates(const std::string& uid, uint32_t round) {
  MutexLock lock(mutex_);
  const auto it = jobs_.find(uid);
  return it == jobs_.end() || it->second->round != round ? nullptr : it->second->gates;
}

void JobManager::TickLoop() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    stop_tick_.WaitFor(mutex_, options_.tick);
    schedule_.Tick(clock_.Now());
    changed_.NotifyAll();
  }
}

void JobManager::RunnerLoop() {
  while (true) {
    JobPtr job;
    {
      MutexLock lock(mutex_);
      while (!stopping_ && queue_.empty()) changed_.Wait(mutex_);
      if (stopping_) return;
      job = queue_.front();
      queue_.pop_front();
      job->record.info.started = clock_.WallNow();
      SetState(*job, JobState::kPlanning);
    }
    Run(job);
  }
}

absl::Status JobManager::Interruption(const Job& job) const {
  if (job.cancel) return absl::CancelledError("cancelled");
  return stopping_ ? Stopping() : absl::OkStatus();
}

absl::StatusOr<JobManager::JobPtr> JobManager::Find(const std::string& name) {
  MERGANSER_ASSIGN_OR_RETURN(const std::string uid, ParseJobName(name));
  const auto it = jobs_.find(uid);
  if (it == jobs_.end()) return JobNotFound(name);
  return it->second;
}

JobInfo JobManager::Snapshot(const Job& job, bool with_recipe) const {
  JobInfo info = job.record.info;
  if (!with_recipe) info.request.recipe.clear();
  if (!job.scheduled) return info;
  if (const auto status = schedule_.Status(info.uid); status.has_value()) {
    const JobProgress& before = job.before;
    info.progress = {before.units_total,
                     before.units_done + status->units_done,
                     before.bytes_total,
                     before.bytes_done + status->bytes_done,
                     status->units_leased,
                     status->workers,
                     before.retries + status->retries,
                     status->detail};
    const int rounds = job.plan == nullptr ? 1 : job.plan->plan->rounds;
    if (rounds > 1 && info.progress.detail.empty()) {
      info.progress.detail = absl::StrCat("round ", job.round + 1, " of ", rounds);
    }
  }
  return info;
}

// Keeps the last progress and takes the job's leases away.
void JobManager::Unschedule(Job& job) {
  if (!job.scheduled) return;
  job.record.info.progress = Snapshot(job, /*with_recipe=*/false).progress;
  job.record.info.progress.units_leased = 0;
  job.record.info.progress.workers = 0;
  job.record.info.progress.detail.clear();
  schedule_.RemoveJob(job.record.info.uid);
  job.scheduled = false;
  job.plan.reset();
  job.gates.reset();
}

void JobManager::SetState(Job& job, JobState state) {
  job.record.info.state = state;
  if (const absl::Status saved = store_.Save(job.record); !saved.ok()) {
    job.record.info.warnings.push_back(
        absl::StrCat("the job's state was not recorded: ", std::string(saved.message())));
  }
  changed_.NotifyAll();
}

void JobManager::Finish(Job& job, const absl::Status& status, bool request_wrong) {
  JobInfo& info = job.record.info;
  Unschedule(job);
  info.finished = clock_.WallNow();
  info.cancelling = false;
  if (status.ok()) {
    SetState(job, JobState::kSucceeded);
  } else if (job.cancel) {
    SetState(job, JobState::kCancelled);
  } else {
    info.error = absl::Status(status.code(), OneLine(std::string(status.message())));
    info.error_reason = ErrorReason(status, request_wrong);
    SetState(job, JobState::kFailed);
  }
  ForgetOldJobs();
}

void JobManager::ForgetOldJobs() {
  size_t finished = 0;
  for (const auto& [sequence, job] : by_sequence_) {
    if (IsTerminal(job->record.info.state)) ++finished;
  }
  for (auto it = by_sequence_.begin();
       finished > options_.finished_jobs && it != by_sequence_.end();) {
    const JobPtr job = it->second;
    if (!IsTerminal(job->record.info.state)) {
      ++it;
      continue;
    }
    // What cannot be forgotten in the store comes back at the next start, and is
    // forgotten then.
    store_.Remove(job->record.info.uid).IgnoreError();
    jobs_.erase(job->record.info.uid);
    if (!job->record.request_id.empty()) by_request_.erase(job->record.request_id);
    it = by_sequence_.erase(it);
    --finished;
  }
}

}  // namespace merganser
