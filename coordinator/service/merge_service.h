// The users' service over gRPC.
#ifndef MERGANSER_COORDINATOR_SERVICE_MERGE_SERVICE_H_
#define MERGANSER_COORDINATOR_SERVICE_MERGE_SERVICE_H_

#include "coordinator/service/auth/authorizer.h"
#include "coordinator/service/merge_api.h"
#include "coordinator/service/watch_streams.h"
#include "proto/merganser/v1/merge_service.grpc.pb.h"

namespace merganser {

// Calls hold a thread each, but for watchers.
class MergeServiceImpl final
    : public v1::MergeService::WithCallbackMethod_WatchJob<v1::MergeService::Service> {
 public:
  // All must outlive the service.
  MergeServiceImpl(MergeApi& api, WatchStreams& watchers, const Authorizer& authorizer)
      : api_(api), watchers_(watchers), authorizer_(authorizer) {}

  grpc::Status CreateJob(grpc::ServerContext* context, const v1::CreateJobRequest* request,
                         v1::Job* response) override;
  grpc::Status GetJob(grpc::ServerContext* context, const v1::GetJobRequest* request,
                      v1::Job* response) override;
  grpc::Status ListJobs(grpc::ServerContext* context, const v1::ListJobsRequest* request,
                        v1::ListJobsResponse* response) override;
  grpc::Status CancelJob(grpc::ServerContext* context, const v1::CancelJobRequest* request,
                         v1::Job* response) override;
  grpc::Status PlanJob(grpc::ServerContext* context, const v1::PlanJobRequest* request,
                       v1::PlanJobResponse* response) override;
  grpc::Status GetJobActivity(grpc::ServerContext* context,
                              const v1::GetJobActivityRequest* request,
                              v1::JobActivity* response) override;
  grpc::Status ListWorkers(grpc::ServerContext* context, const v1::ListWorkersRequest* request,
                           v1::ListWorkersResponse* response) override;
  grpc::Status GetCluster(grpc::ServerContext* context, const v1::GetClusterRequest* request,
                          v1::Cluster* response) override;
  grpc::Status SetJobPriority(grpc::ServerContext* context,
                              const v1::SetJobPriorityRequest* request, v1::Job* response) override;
  grpc::Status DeleteJob(grpc::ServerContext* context, const v1::DeleteJobRequest* request,
                         google::protobuf::Empty* response) override;
  grpc::ServerWriteReactor<v1::Job>* WatchJob(grpc::CallbackServerContext* context,
                                              const v1::WatchJobRequest* request) override;

 private:
  template <class Request, class Response>
  using ApiMethod = absl::StatusOr<Response> (MergeApi::*)(const ApiCall&, const Request&);
  // One unary rpc, whose name is "/merganser.v1.MergeService/" and `rpc`.
  template <class Request, class Response>
  grpc::Status Unary(grpc::ServerContext& context, const char* rpc,
                     ApiMethod<Request, Response> method, const Request& request,
                     Response& response);

  MergeApi& api_;
  WatchStreams& watchers_;
  const Authorizer& authorizer_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_MERGE_SERVICE_H_
