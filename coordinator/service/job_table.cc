#include "coordinator/service/job_table.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "common/base/status.h"
#include "coordinator/service/requests.h"

namespace merganser {

void JobTable::Add(const JobPtr& job) {
  const JobRecord& record = job->record;
  absl::Cleanup undo = [&] { Erase(*job); };
  by_uid_[record.info.uid] = job;
  by_sequence_[record.sequence] = job;
  if (!record.request_id.empty()) by_request_[record.request_id] = job;
  next_sequence_ = std::max(next_sequence_, record.sequence + 1);
  std::move(undo).Cancel();
}

void JobTable::Erase(const ManagedJob& job) {
  const auto request = by_request_.find(job.record.request_id);
  if (request != by_request_.end() && request->second.get() == &job) by_request_.erase(request);
  by_sequence_.erase(job.record.sequence);
  by_uid_.erase(job.record.info.uid);
}

JobPtr JobTable::Get(const std::string& uid) const {
  const auto it = by_uid_.find(uid);
  return it == by_uid_.end() ? nullptr : it->second;
}

absl::StatusOr<JobPtr> JobTable::Find(const std::string& name) const {
  MERGANSER_ASSIGN_OR_RETURN(const std::string uid, ParseJobName(name));
  JobPtr job = Get(uid);
  if (job == nullptr) return JobNotFound(name);
  return job;
}

absl::StatusOr<JobPtr> JobTable::FindRequest(const JobRequest& request,
                                             const std::string& request_id,
                                             const std::string& owner) const {
  if (request_id.empty()) return nullptr;
  if (const SpentRequest* const spent = spent_.Find(request_id); spent != nullptr) {
    const bool own = spent->owner == owner || spent->owner.empty();
    return own ? RequestSpent(*spent) : RequestReused(request_id, spent->job, own);
  }
  const auto it = by_request_.find(request_id);
  if (it == by_request_.end()) return nullptr;
  const JobInfo& info = it->second->record.info;
  const bool own = info.owner == owner || info.owner.empty();
  JobRequest without_recipe = request;
  without_recipe.recipe.clear();
  // The id stands for what was asked, whatever the job's priority is now.
  without_recipe.priority = info.request.priority;
  const int32_t asked = it->second->record.asked_priority.value_or(info.request.priority);
  if (own && request.priority == asked && info.request == without_recipe &&
      *it->second->recipe == request.recipe) {
    return it->second;
  }
  return RequestReused(request_id, info.uid, own);
}

bool JobTable::HasRequest(const std::string& request_id) const {
  return !request_id.empty() &&
         (by_request_.contains(request_id) || spent_.Find(request_id) != nullptr);
}

void JobTable::TakeOut(const ManagedJob& job, bool old) {
  const JobPtr held = Get(job.record.info.uid);  // `job` may live by the table alone
  const JobRecord& record = job.record;
  const auto request = by_request_.find(record.request_id);
  if (!old && request != by_request_.end() && request->second.get() == &job) {
    spent_.Add({record.request_id, record.info.uid, record.info.owner, record.info.state,
                record.ended_after});
  }
  Erase(job);
}

JobTable::Forgotten JobTable::TakeOld(const KeptJobs& kept, Duration served) {
  std::vector<EndedJob> ended;
  for (const auto& [sequence, job] : by_sequence_) {
    const JobRecord& record = job->record;
    if (!IsTerminal(record.info.state)) continue;
    ended.push_back({sequence, record.info.owner, record.ended_after});
  }
  const OutdatedJobs outdated = FindOutdated(std::move(ended), kept, served);
  Forgotten forgotten;
  for (const bool old : {true, false}) {
    for (const uint64_t sequence : old ? outdated.old : outdated.excess) {
      const JobPtr job = by_sequence_.at(sequence);
      const JobInfo& info = job->record.info;
      (old ? forgotten.removed : forgotten.retired).push_back(info.uid);
      taken_.Add(info.owner, old);
      TakeOut(*job, old);
    }
  }
  forgotten.requests = spent_.Trim(served, kept.age);
  return forgotten;
}

std::string JobTable::TellTaken(const KeptJobs& kept) {
  return taken_.empty() ? "" : taken_.Take(kept);
}

}  // namespace merganser
