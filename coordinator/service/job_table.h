// The jobs of a coordinator: by uid, by age, and by the request that made them.
#ifndef MERGANSER_COORDINATOR_SERVICE_JOB_TABLE_H_
#define MERGANSER_COORDINATOR_SERVICE_JOB_TABLE_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "coordinator/service/job_pruning.h"
#include "coordinator/service/managed_job.h"
#include "coordinator/service/spent_requests.h"

namespace merganser {

// Not thread-safe.
class JobTable {
 public:
  // Of the next job: higher than that of any job before.
  uint64_t NextSequence() { return next_sequence_++; }

  // By its uid, sequence and request id, which are set. Where memory runs out nothing is added.
  void Add(const JobPtr& job);

  // nullptr: none.
  JobPtr Get(const std::string& uid) const;
  bool Has(const std::string& uid) const { return by_uid_.contains(uid); }
  // By "jobs/{uid}". kInvalidArgument, or kNotFound (JOB_NOT_FOUND).
  absl::StatusOr<JobPtr> Find(const std::string& name) const;
  // By sequence.
  const std::map<uint64_t, JobPtr>& jobs() const { return by_sequence_; }

  // The job that `request_id` made for `owner` of the same request, nullptr where it made
  // none; an error where it cannot make one any more.
  absl::StatusOr<JobPtr> FindRequest(const JobRequest& request, const std::string& request_id,
                                     const std::string& owner) const;
  // Whether a job was made of it, though that may be forgotten.
  bool HasRequest(const std::string& request_id) const;
  void AddSpent(SpentRequest request) { spent_.Add(std::move(request)); }

  // Takes out a job that has ended. Its request id stays spent, unless it is `old`.
  void TakeOut(const ManagedJob& job, bool old);

  // What a store is to forget.
  struct Forgotten {
    std::vector<std::string> removed;   // uids
    std::vector<std::string> retired;   // uids of jobs whose request ids are remembered
    std::vector<std::string> requests;  // ids that are no longer
  };
  // Takes out the ended jobs beyond `kept`, as of `served` (JobStore::Served).
  Forgotten TakeOld(const KeptJobs& kept, Duration served);
  // What that took since the last call, as one line; empty for none.
  std::string TellTaken(const KeptJobs& kept);
  bool took_some() const { return !taken_.empty(); }

 private:
  void Erase(const ManagedJob& job);

  uint64_t next_sequence_ = 1;
  std::map<std::string, JobPtr> by_uid_;
  std::map<uint64_t, JobPtr> by_sequence_;
  std::map<std::string, JobPtr> by_request_;
  SpentRequests spent_;  // none of them in by_request_
  ForgottenJobs taken_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_JOB_TABLE_H_
