#include "coordinator/service/merge_api.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "coordinator/service/job_codec.h"
#include "coordinator/service/job_limits.h"
#include "coordinator/service/job_list.h"
#include "coordinator/service/recipe_facts.h"
#include "coordinator/service/request_roots.h"
#include "coordinator/service/requests.h"

namespace merganser {
namespace {

constexpr int kDefaultWorkersPage = 200;

absl::StatusOr<v1::Job> Encoded(const absl::StatusOr<JobInfo>& job) {
  if (!job.ok()) return job.status();
  return EncodeJob(*job);
}

// The job that would be, for validate_only.
JobInfo Preview(const JobRequest& request, const Judgement& judgement) {
  JobInfo job;
  job.request = request;
  SetRecipeFacts(request.recipe, job);
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
  MERGANSER_ASSIGN_OR_RETURN(
      const JobPage page,
      merganser::ListJobs(jobs_.board(), {request.page_size(), request.page_token(),
                                          request.filter(), request.order_by()}));
  v1::ListJobsResponse response;
  for (const JobInfo& job : page.jobs) *response.add_jobs() = EncodeJob(job);
  response.set_next_page_token(page.next_page_token);
  response.set_total_size(static_cast<int32_t>(page.total_size));
  return response;
}

absl::StatusOr<v1::Job> MergeApi::CancelJob(const ApiCall& call,
                                            const v1::CancelJobRequest& request) {
  return Encoded(jobs_.Cancel(request.name(), call.caller));
}

absl::StatusOr<v1::PlanJobResponse> MergeApi::PlanJob(const ApiCall& call,
                                                      const v1::PlanJobRequest& request) {
  JobRequest job;
  job.recipe = request.recipe();
  job.source_name = request.recipe_source();
  job.directories.assign(request.directories().begin(), request.directories().end());
  // The grammar of a request asks for an output; whoever plans may not have chosen one yet.
  job.output_uri = request.output_uri().empty() ? "/output" : request.output_uri();
  MERGANSER_RETURN_IF_ERROR(CheckJobRequest(job, ""));
  job.output_uri = request.output_uri();
  MERGANSER_RETURN_IF_ERROR(CheckRequestRoots(job, roots_));
  return plans_.Plan(job, call.caller.name, request.page_size(), request.page_token(), call.gone);
}

absl::StatusOr<v1::JobActivity> MergeApi::GetJobActivity(const ApiCall&,
                                                         const v1::GetJobActivityRequest& request) {
  MERGANSER_ASSIGN_OR_RETURN(const JobStory story, jobs_.Story(request.name()));
  if (IsTerminal(story.info.state)) {
    MERGANSER_ASSIGN_OR_RETURN(const std::string ended, jobs_.EndedStory(story.info.uid));
    v1::JobActivity activity;
    if (!ended.empty() && activity.ParseFromString(ended)) return activity;
  }
  return EncodeStory(story, Tensors(), jobs_.WallNow());
}

// Names are unique and ascend: a token is the last one that was listed.
absl::StatusOr<v1::ListWorkersResponse> MergeApi::ListWorkers(
    const ApiCall&, const v1::ListWorkersRequest& request) {
  MERGANSER_ASSIGN_OR_RETURN(
      const int size,
      CoercePageSize(request.page_size() == 0 ? kDefaultWorkersPage : request.page_size()));
  const std::vector<WorkerStory> workers = jobs_.Workers();
  const WallTime now = jobs_.WallNow();
  v1::ListWorkersResponse response;
  response.set_total_size(static_cast<int32_t>(workers.size()));
  for (const WorkerStory& worker : workers) {
    if (worker.info.name <= request.page_token()) continue;
    if (response.workers_size() == size) {
      response.set_next_page_token(response.workers(size - 1).name());
      break;
    }
    *response.add_workers() = EncodeWorker(worker, Tensors(), now);
  }
  return response;
}

absl::StatusOr<v1::Cluster> MergeApi::GetCluster(const ApiCall&, const v1::GetClusterRequest&) {
  const FleetTotals fleet = jobs_.FleetNow();
  const WallTime now = jobs_.WallNow();
  v1::Cluster cluster;
  cluster.set_version(jobs_.program());
  cluster.set_epoch(jobs_.epoch());
  EncodeTime(jobs_.started(), cluster.mutable_start_time());
  const JobBoard::StateCounts counts = jobs_.board().counts();
  for (size_t state = 0; state < counts.size(); ++state) {
    (*cluster.mutable_jobs())[std::string(JobStateName(static_cast<JobState>(state)))] =
        counts[state];
  }
  cluster.set_workers_alive(static_cast<uint32_t>(fleet.alive));
  cluster.set_workers_known(static_cast<uint32_t>(fleet.known));
  cluster.set_bytes_read_per_second(fleet.rates.read);
  cluster.set_bytes_written_per_second(fleet.rates.written);
  EncodeRecent(fleet.recent, now, cluster.mutable_rates());
  if (const auto oldest = jobs_.board().oldest_queued(); oldest.has_value()) {
    EncodeDuration(std::max(Duration::zero(), now - *oldest), cluster.mutable_oldest_queued());
  }
  cluster.set_trouble(OneLine(jobs_.Trouble()));
  return cluster;
}

TensorNames MergeApi::Tensors() {
  return [this](const HeldUnit& unit) { return jobs_.TensorOf(unit); };
}

absl::StatusOr<v1::Job> MergeApi::SetJobPriority(const ApiCall& call,
                                                 const v1::SetJobPriorityRequest& request) {
  return Encoded(jobs_.SetPriority(request.name(), request.priority(), call.caller));
}

absl::StatusOr<google::protobuf::Empty> MergeApi::DeleteJob(const ApiCall& call,
                                                            const v1::DeleteJobRequest& request) {
  MERGANSER_RETURN_IF_ERROR(jobs_.Delete(request.name(), call.caller));
  return google::protobuf::Empty();
}

}  // namespace merganser
