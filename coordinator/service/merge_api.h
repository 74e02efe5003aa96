// What users may ask of the coordinator, whatever carries their calls: gRPC (merge_service.h), or
// HTTP and JSON. Messages and errors are those of merge_service.proto.
#ifndef MERGANSER_COORDINATOR_SERVICE_MERGE_API_H_
#define MERGANSER_COORDINATOR_SERVICE_MERGE_API_H_

#include <chrono>
#include <functional>
#include <utility>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/storage/roots.h"
#include "coordinator/service/auth/roles.h"
#include "coordinator/service/job_manager.h"
#include "coordinator/service/job_pictures.h"
#include "coordinator/service/plan_previews.h"
#include "coordinator/service/request_judge.h"
#include "coordinator/service/story_codec.h"
#include "google/protobuf/empty.pb.h"
#include "proto/merganser/v1/merge_service.pb.h"

namespace merganser {

// One call that was let in: its caller has the role that MethodRoles asks for.
struct ApiCall {
  Caller caller;
  // For how long the client will wait, the way of the answer included.
  Duration patience = std::chrono::seconds(30);
  // Whether the client has left; may be empty: not known. Thread-safe, never blocks.
  std::function<bool()> gone = nullptr;
};

// Thread-safe. Methods that change something wait for the journal's disk, CreateJob and PlanJob for
// storage as well: not for threads that serve many. The others answer from memory.
class MergeApi {
 public:
  // All but `roots` must outlive it.
  MergeApi(JobManager& jobs, RequestJudge& judge, AllowedRoots roots)
      : jobs_(jobs),
        judge_(judge),
        roots_(std::move(roots)),
        pictures_(jobs),
        plans_([&jobs](const JobInfo& job) { return jobs.RunOf(job); }) {}

  absl::StatusOr<v1::Job> CreateJob(const ApiCall& call, const v1::CreateJobRequest& request);
  absl::StatusOr<v1::Job> GetJob(const ApiCall& call, const v1::GetJobRequest& request);
  absl::StatusOr<v1::ListJobsResponse> ListJobs(const ApiCall& call,
                                                const v1::ListJobsRequest& request);
  absl::StatusOr<v1::Job> CancelJob(const ApiCall& call, const v1::CancelJobRequest& request);
  absl::StatusOr<v1::PlanJobResponse> PlanJob(const ApiCall& call,
                                              const v1::PlanJobRequest& request);
  absl::StatusOr<v1::JobActivity> GetJobActivity(const ApiCall& call,
                                                 const v1::GetJobActivityRequest& request);
  absl::StatusOr<v1::ListWorkersResponse> ListWorkers(const ApiCall& call,
                                                      const v1::ListWorkersRequest& request);
  absl::StatusOr<v1::Cluster> GetCluster(const ApiCall& call, const v1::GetClusterRequest& request);
  // Too large for a message: for pages alone. Blocks; callers have the role `read`.
  JobPictures& pictures() { return pictures_; }
  JobManager& jobs() { return jobs_; }
  absl::StatusOr<v1::Job> SetJobPriority(const ApiCall& call,
                                         const v1::SetJobPriorityRequest& request);
  absl::StatusOr<google::protobuf::Empty> DeleteJob(const ApiCall& call,
                                                    const v1::DeleteJobRequest& request);

 private:
  TensorNames Tensors();

  JobManager& jobs_;
  RequestJudge& judge_;
  const AllowedRoots roots_;
  JobPictures pictures_;
  PlanPreviews plans_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_MERGE_API_H_
