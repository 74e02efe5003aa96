// The users' service over gRPC.
#ifndef MERGANSER_COORDINATOR_SERVICE_MERGE_SERVICE_H_
#define MERGANSER_COORDINATOR_SERVICE_MERGE_SERVICE_H_

#include "coordinator/service/auth/authorizer.h"
#include "coordinator/service/job_manager.h"
#include "coordinator/service/merge_api.h"
#include "proto/merganser/v1/merge_service.grpc.pb.h"

namespace merganser {

// Watchers hold a thread each; one owner may have half of these seats (FairSeats).
inline constexpr int kMaxWatchers = 64;

class MergeServiceImpl final : public v1::MergeService::Service {
 public:
  // All must outlive the service.
  MergeServiceImpl(MergeApi& api, JobManager& jobs, const Authorizer& authorizer,
                   int max_watchers = kMaxWatchers)
      : api_(api), jobs_(jobs), authorizer_(authorizer), watchers_(max_watchers) {}

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
  template <class Request, class Response>
  using ApiMethod = absl::StatusOr<Response> (MergeApi::*)(const ApiCall&, const Request&);
  // One unary rpc, whose name is "/merganser.v1.MergeService/" and `rpc`.
  template <class Request, class Response>
  grpc::Status Unary(grpc::ServerContext& context, const char* rpc,
                     ApiMethod<Request, Response> method, const Request& request,
                     Response& response);

  MergeApi& api_;
  JobManager& jobs_;
  const Authorizer& authorizer_;
  FairSeats watchers_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_MERGE_SERVICE_H_
