#include "coordinator/service/merge_service.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "proto/convert/status_codec.h"

namespace merganser {

template <class Request, class Response>
grpc::Status MergeServiceImpl::Unary(grpc::ServerContext& context, const char* rpc,
                                     ApiMethod<Request, Response> method, const Request& request,
                                     Response& response) try {
  MERGANSER_ADMIT(caller, authorizer_, context,
                  absl::StrCat("/", v1::MergeService::service_full_name(), "/", rpc));
  const Duration patience = context.deadline() - std::chrono::system_clock::now();
  absl::StatusOr<Response> answer =
      (api_.*method)({caller, patience, [&context] { return context.IsCancelled(); }}, request);
  if (answer.ok()) response = *std::move(answer);
  return ToGrpc(answer.status());
} catch (...) {
  return ToGrpc(CaughtStatus());
}

grpc::Status MergeServiceImpl::CreateJob(grpc::ServerContext* context,
                                         const v1::CreateJobRequest* request, v1::Job* response) {
  return Unary(*context, "CreateJob", &MergeApi::CreateJob, *request, *response);
}

grpc::Status MergeServiceImpl::GetJob(grpc::ServerContext* context,
                                      const v1::GetJobRequest* request, v1::Job* response) {
  return Unary(*context, "GetJob", &MergeApi::GetJob, *request, *response);
}

grpc::Status MergeServiceImpl::ListJobs(grpc::ServerContext* context,
                                        const v1::ListJobsRequest* request,
                                        v1::ListJobsResponse* response) {
  return Unary(*context, "ListJobs", &MergeApi::ListJobs, *request, *response);
}

grpc::Status MergeServiceImpl::CancelJob(grpc::ServerContext* context,
                                         const v1::CancelJobRequest* request, v1::Job* response) {
  return Unary(*context, "CancelJob", &MergeApi::CancelJob, *request, *response);
}

grpc::Status MergeServiceImpl::PlanJob(grpc::ServerContext* context,
                                       const v1::PlanJobRequest* request,
                                       v1::PlanJobResponse* response) {
  return Unary(*context, "PlanJob", &MergeApi::PlanJob, *request, *response);
}

grpc::Status MergeServiceImpl::GetJobActivity(grpc::ServerContext* context,
                                              const v1::GetJobActivityRequest* request,
                                              v1::JobActivity* response) {
  return Unary(*context, "GetJobActivity", &MergeApi::GetJobActivity, *request, *response);
}

grpc::Status MergeServiceImpl::ListWorkers(grpc::ServerContext* context,
                                           const v1::ListWorkersRequest* request,
                                           v1::ListWorkersResponse* response) {
  return Unary(*context, "ListWorkers", &MergeApi::ListWorkers, *request, *response);
}

grpc::Status MergeServiceImpl::GetCluster(grpc::ServerContext* context,
                                          const v1::GetClusterRequest* request,
                                          v1::Cluster* response) {
  return Unary(*context, "GetCluster", &MergeApi::GetCluster, *request, *response);
}

grpc::Status MergeServiceImpl::SetJobPriority(grpc::ServerContext* context,
                                              const v1::SetJobPriorityRequest* request,
                                              v1::Job* response) {
  return Unary(*context, "SetJobPriority", &MergeApi::SetJobPriority, *request, *response);
}

grpc::Status MergeServiceImpl::DeleteJob(grpc::ServerContext* context,
                                         const v1::DeleteJobRequest* request,
                                         google::protobuf::Empty* response) {
  return Unary(*context, "DeleteJob", &MergeApi::DeleteJob, *request, *response);
}

grpc::ServerWriteReactor<v1::Job>* MergeServiceImpl::WatchJob(
    grpc::CallbackServerContext* context, const v1::WatchJobRequest* request) try {
  const absl::StatusOr<Admission> admitted =
      Admit(authorizer_, *context, "/merganser.v1.MergeService/WatchJob");
  if (!admitted.ok()) return WatchStreams::Refused(admitted.status());
  return watchers_.Open(request->name(), admitted->caller.name);
} catch (...) {
  return WatchStreams::Refused(CaughtStatus());
}

}  // namespace merganser
