#include "coordinator/service/merge_api.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "coordinator/service/job_codec.h"
#include "coordinator/service/job_limits.h"
#include "coordinator/service/request_roots.h"
#include "coordinator/service/requests.h"

namespace merganser {
namespace {

absl::StatusOr<v1::Job> Encoded(const absl::StatusOr<JobInfo>& job) {
  if (!job.ok()) return job.status();
  return EncodeJob(*job);
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

absl::StatusOr<v1::Job> MergeApi::CreateJob(const ApiCall& call,
                                            const v1::CreateJobRequest& request) {
  const JobRequest job = DecodeRequest(request);
  MERGANSER_RETURN_IF_ERROR(CheckJobRequest(job, request.request_id()));
  MERGANSER_RETURN_IF_ERROR(CheckRequestRoots(job, roots_));
  // What was accepted once stays so, whatever has become of its models.
  if (request.validate_only() || !jobs_.HasRequest(request.request_id())) {
    // Half of the time for the models: the answer has to arrive as well.
    const Duration half = std::max(Duration::zero(), call.patience / 2);
    MERGANSER_ASSIGN_OR_RETURN(const Judgement judged, judge_.Judge(job, half));
    if (request.validate_only()) return EncodeJob(Preview(job, judged));
  }
  return Encoded(jobs_.Create(job, request.request_id(), call.caller.name));
}

absl::StatusOr<v1::Job> MergeApi::GetJob(const ApiCall&, const v1::GetJobRequest& request) {
  return Encoded(jobs_.Get(request.name()));
}

absl::StatusOr<v1::ListJobsResponse> MergeApi::ListJobs(const ApiCall&,
                                                        const v1::ListJobsRequest& request) {
  MERGANSER_ASSIGN_OR_RETURN(const JobPage page,
                             jobs_.List(request.page_size(), request.page_token()));
  v1::ListJobsResponse response;
  for (const JobInfo& job : page.jobs) *response.add_jobs() = EncodeJob(job);
  response.set_next_page_token(page.next_page_token);
  return response;
}

absl::StatusOr<v1::Job> MergeApi::CancelJob(const ApiCall& call,
                                            const v1::CancelJobRequest& request) {
  return Encoded(jobs_.Cancel(request.name(), call.caller));
}

}  // namespace merganser
