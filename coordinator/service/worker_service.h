// The workers' service over a JobManager.
#ifndef MERGANSER_COORDINATOR_SERVICE_WORKER_SERVICE_H_
#define MERGANSER_COORDINATOR_SERVICE_WORKER_SERVICE_H_

#include "coordinator/service/auth/authorizer.h"
#include "coordinator/service/job_manager.h"
#include "proto/merganser/v1/worker_service.grpc.pb.h"

namespace merganser {

class WorkerServiceImpl final : public v1::WorkerService::Service {
 public:
  // `jobs` and `authorizer` must outlive the service.
  WorkerServiceImpl(JobManager& jobs, const Authorizer& authorizer)
      : jobs_(jobs), authorizer_(authorizer) {}

  grpc::Status Sync(grpc::ServerContext* context, const v1::SyncRequest* request,
                    v1::SyncResponse* response) override;
  grpc::Status GetJobPlan(grpc::ServerContext* context, const v1::GetJobPlanRequest* request,
                          grpc::ServerWriter<v1::JobPlanChunk>* writer) override;
  grpc::Status GetJobGates(grpc::ServerContext* context, const v1::GetJobGatesRequest* request,
                           grpc::ServerWriter<v1::JobPlanChunk>* writer) override;

 private:
  JobManager& jobs_;
  const Authorizer& authorizer_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_WORKER_SERVICE_H_
