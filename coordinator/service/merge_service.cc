#include "coordinator/service/merge_service.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "coordinator/service/job_codec.h"
#include "coordinator/service/job_limits.h"
#include "coordinator/service/request_roots.h"
#include "coordinator/service/requests.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

grpc::Status Answer(const absl::StatusOr<JobInfo>& job, v1::Job* response) {
  if (job.ok()) *response = EncodeJob(*job);
  return ToGrpc(job.status());
}

// For the models: the answer has to arrive as well.
Duration HalfOfTheTimeLeft(const grpc::ServerContext& context) {
  const Duration left = context.deadline() - std::chrono::system_clock::now();
  return std::max(Duration::zero(), left / 2);
}

// The job that would be, for validate_only.
JobInfo Preview(const JobRequest& request, const Judgement& judgement) {
  JobInfo job;
  job.request = request;
  job.progress.units_total = judgement.units;
  job.progress.bytes_total = judgement.bytes;
  job.warnings = judgement.warnings;
  if (!judgement.unseen.empty()) {
    job.warnings.push_back(absl::StrCat("the models were not looked at: ", judgement.unseen));
  }
  BoundTexts(job);
  return job;
}

}  // namespace

grpc::Status MergeServiceImpl::CreateJob(grpc::ServerContext* context,
                                         const v1::CreateJobRequest* request,
                                         v1::Job* response) try {
  MERGANSER_ADMIT(caller, authorizer_, *context, "/merganser.v1.MergeService/CreateJob");
  const JobRequest job = DecodeRequest(*request);
  absl::Status allowed = CheckJobRequest(job, request->request_id());
  if (allowed.ok()) allowed = CheckRequestRoots(job, roots_);
  if (!allowed.ok()) return ToGrpc(allowed);
  // What was accepted once stays so, whatever has become of its models.
  if (request->validate_only() || !jobs_.HasRequest(request->request_id())) {
    const absl::StatusOr<Judgement> judged = judge_.Judge(job, HalfOfTheTimeLeft(*context));
    if (!judged.ok()) return ToGrpc(judged.status());
    if (request->validate_only()) return Answer(Preview(job, *judged), response);
  }
  return Answer(jobs_.Create(job, request->request_id(), caller.name), response);
} catch (...) {
  return ToGrpc(CaughtStatus());
}

grpc::Status MergeServiceImpl::GetJob(grpc::ServerContext* context,
                                      const v1::GetJobRequest* request, v1::Job* response) try {
  MERGANSER_ADMIT(caller, authorizer_, *context, "/merganser.v1.MergeService/GetJob");
  return Answer(jobs_.Get(request->name()), response);
} catch (...) {
  return ToGrpc(CaughtStatus());
}

grpc::Status MergeServiceImpl::ListJobs(grpc::ServerContext* context,
                                        const v1::ListJobsRequest* request,
                                        v1::ListJobsResponse* response) try {
  MERGANSER_ADMIT(caller, authorizer_, *context, "/merganser.v1.MergeService/ListJobs");
  const absl::StatusOr<JobPage> page = jobs_.List(request->page_size(), request->page_token());
  if (!page.ok()) return ToGrpc(page.status());
  for (const JobInfo& job : page->jobs) *response->add_jobs() = EncodeJob(job);
  response->set_next_page_token(page->next_page_token);
  return grpc::Status::OK;
} catch (...) {
  return ToGrpc(CaughtStatus());
}

grpc::Status MergeServiceImpl::CancelJob(grpc::ServerContext* context,
                                         const v1::CancelJobRequest* request,
                                         v1::Job* response) try {
  MERGANSER_ADMIT(caller, authorizer_, *context, "/merganser.v1.MergeService/CancelJob");
  return Answer(jobs_.Cancel(request->name(), caller), response);
} catch (...) {
  return ToGrpc(CaughtStatus());
}

grpc::Status MergeServiceImpl::WatchJob(grpc::ServerContext* context,
                                        const v1::WatchJobRequest* request,
                                        grpc::ServerWriter<v1::Job>* writer) try {
  MERGANSER_ADMIT(caller, authorizer_, *context, "/merganser.v1.MergeService/WatchJob");
  const std::optional<FairSeats::Seat> seat = watchers_.Take(caller.name);
  if (!seat.has_value()) {
    return ToGrpc(ReasonedError(absl::StatusCode::kResourceExhausted, "TOO_MANY_WATCHERS",
                                absl::StrCat("found too many clients of ", caller.name,
                                             " watching jobs, expected fewer; use `get`"),
                                {{"owner", caller.name}}));
  }
  return ToGrpc(jobs_.Watch(
      request->name(), [&](const JobInfo& job) { return writer->Write(EncodeJob(job)); },
      [&] { return context->IsCancelled(); }));
} catch (...) {
  return ToGrpc(CaughtStatus());
}

}  // namespace merganser
