// The users' service over a JobManager.
#ifndef MERGANSER_COORDINATOR_SERVICE_MERGE_SERVICE_H_
#define MERGANSER_COORDINATOR_SERVICE_MERGE_SERVICE_H_

#include <utility>

#include "common/storage/roots.h"
#include "coordinator/service/auth/authorizer.h"
#include "coordinator/service/job_manager.h"
#include "coordinator/service/request_judge.h"
#include "proto/merganser/v1/merge_service.grpc.pb.h"

namespace merganser {

// Watchers hold a thread each; one owner may have half of these seats (FairSeats).
inline constexpr int kMaxWatchers = 64;

class MergeServiceImpl final : public v1::MergeService::Service {
 public:
  // All but `roots` must outlive the service.
  MergeServiceImpl(JobManager& jobs, RequestJudge& judge, const Authorizer& authorizer,
                   AllowedRoots roots, int max_watchers = kMaxWatchers)
      : jobs_(jobs),
        judge_(judge),
        authorizer_(authorizer),
        roots_(std::move(roots)),
        watchers_(max_watchers) {}

  grpc::Status CreateJob(grpc::ServerContext* context, const v1::CreateJobRequest* request,
                         v1::Job* response) override;
  grpc::Status GetJob(grpc::ServerContext* context, const v1::GetJobRequest* request,
                      v1::Job* response) override;
  grpc::Status ListJobs(grpc::ServerContext* context, const v1::ListJobsRequest* request,
                        v1::ListJobsResponse* response) override;
  grpc::Status CancelJob(grpc::ServerContext* context, const v1::CancelJobRequest* request,
                         v1::Job* response) override;
  grpc::Status WatchJob(grpc::ServerContext* context, const v1::WatchJobRequest* request,
                        grpc::ServerWriter<v1::Job>* writer) override;

 private:
  JobManager& jobs_;
  RequestJudge& judge_;
  const Authorizer& authorizer_;
  const AllowedRoots roots_;
  FairSeats watchers_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_MERGE_SERVICE_H_
