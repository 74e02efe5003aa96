// JobManager, what users change of jobs beside making and cancelling them.
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "coordinator/service/job_log.h"
#include "coordinator/service/job_manager.h"
#include "coordinator/service/requests.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

absl::Status WrongState(const JobInfo& info, std::string_view reason, std::string_view expected) {
  return ReasonedError(absl::StatusCode::kFailedPrecondition, reason,
                       absl::StrCat(info.name, ": found it ", std::string(JobStateName(info.state)),
                                    ", expected ", std::string(expected)),
                       {{"job", info.name}, {"state", std::string(JobStateName(info.state))}});
}

}  // namespace

absl::StatusOr<JobInfo> JobManager::SetPriority(const std::string& name, int32_t priority,
                                                const Caller& caller) {
  MERGANSER_RETURN_IF_ERROR(CheckPriority(priority));
  JobPtr job;
  {
    MutexLock lock(mutex_);
    MERGANSER_ASSIGN_OR_RETURN(job, table_.Find(name));
    MERGANSER_RETURN_IF_ERROR(CheckOwner(job->record.info, caller));
  }
  bool refused = false, same = false;
  int32_t before = 0;
  const auto change = [&](JobRecord& record) -> absl::Status {
    int32_t& now = record.info.request.priority;
    refused = IsTerminal(record.info.state);
    if (refused) return WrongState(record.info, "JOB_FINISHED", "a job that has not ended");
    same = now == priority;
    if (same) return absl::AlreadyExistsError("so before");  // nothing to record
    before = now;
    if (!record.asked_priority.has_value()) record.asked_priority = now;
    now = priority;
    return absl::OkStatus();
  };
  const absl::Status recorded = Guarded([&] { return Record(job, Persistence::kOnce, change); });
  MutexLock lock(mutex_);
  if (!recorded.ok() && !same) return refused ? recorded : NotRecorded(recorded);
  if (!same) {
    const JobInfo& info = job->record.info;
    // Another change may have been recorded meanwhile.
    schedule_.SetPriority(info.uid, info.request.priority);
    const std::string what = absl::StrCat("priority ", before, " -> ", priority);
    AddEvent(*job, absl::StrCat(what, " by ", caller.name));
    Log(CallerLine(info, what, caller.name));
    places_.Moved();
    Show(*job);
    changed_.NotifyAll();
  }
  return WithRecipe(*job);
}

absl::Status JobManager::Delete(const std::string& name, const Caller& caller) {
  JobPtr job;
  {
    MutexLock lock(mutex_);
    MERGANSER_ASSIGN_OR_RETURN(job, table_.Find(name));
    const JobInfo& info = job->record.info;
    MERGANSER_RETURN_IF_ERROR(CheckOwner(info, caller));
    if (!IsTerminal(info.state)) {
      return WrongState(info, "JOB_NOT_FINISHED",
                        "one that has ended; cancel it, or wait for its end");
    }
  }
  // Nothing saves a job that has ended: it cannot come back.
  const std::string uid = job->record.info.uid;
  if (const absl::Status gone = Guarded([&] { return store_.Retire(uid); }); !gone.ok()) {
    return NotRecorded(gone);
  }
  MutexLock lock(mutex_);
  if (!table_.Has(uid)) return absl::OkStatus();  // forgotten meanwhile, or by another call
  const JobInfo& info = job->record.info;
  Log(CallerLine(info, "deleted", caller.name));
  board_.Remove(uid);
  table_.TakeOut(*job, /*old=*/false);
  return absl::OkStatus();
}

}  // namespace merganser
