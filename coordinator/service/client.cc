#include "coordinator/service/client.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/random_id.h"
#include "common/base/status.h"
#include "coordinator/service/job_codec.h"
#include "grpcpp/grpcpp.h"
#include "proto/channel/channel.h"
#include "proto/convert/status_codec.h"
#include "proto/grpc/health/v1/health.grpc.pb.h"
#include "proto/merganser/v1/merge_service.grpc.pb.h"

namespace merganser {
namespace {

constexpr int kMaxReceiveBytes = 64 << 20;

constexpr std::chrono::milliseconds kWatchPoll(250);
// One that was started anew may answer before its token is where this user's clients find it.
constexpr std::chrono::seconds kTokenPatience(5);
// A watched coordinator whose machine vanished is noticed within their sum.
constexpr int kKeepaliveMs = 30'000;
constexpr int kKeepaliveTimeoutMs = 10'000;

}  // namespace

struct MergeClient::Impl {
  std::unique_ptr<CoordinatorChannel> channel;
  std::unique_ptr<v1::MergeService::Stub> stub;
};

MergeClient::MergeClient(const std::string& coordinator, const ChannelSecurity& security,
                         Duration timeout)
    : coordinator_(coordinator), timeout_(timeout), impl_(std::make_unique<Impl>()) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  // A proxy set for web traffic is no way to a coordinator.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  impl_->channel = std::make_unique<CoordinatorChannel>(coordinator, security, arguments);
  impl_->stub = v1::MergeService::NewStub(impl_->channel->channel());
}

MergeClient::~MergeClient() = default;

absl::Status MergeClient::Explain(const absl::Status& original) const {
  absl::Status status = impl_->channel->Explain(original);
  if (status.ok()) return status;
  if (absl::IsUnauthenticated(status)) {
    return Annotate(status, absl::StrCat("coordinator ", coordinator_));
  }
  if ((absl::IsUnavailable(status) && ReasonOf(status).empty()) ||
      absl::IsDeadlineExceeded(status) || absl::IsUnimplemented(status)) {
    return absl::UnavailableError(
        absl::StrCat("coordinator ", coordinator_, ": ", std::string(status.message()),
                     ", expected a running `merganser coordinator --listen ", coordinator_, "`"));
  }
  return status;
}

namespace {

// One unary call under a deadline.
template <typename Request, typename Response, typename Method>
absl::Status Call(CoordinatorChannel& channel, Duration timeout, const Request& request,
                  Response& response, const Method& method) {
  grpc::ClientContext context;
  MERGANSER_RETURN_IF_ERROR(channel.Authorize(context).status());
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::duration_cast<std::chrono::system_clock::duration>(timeout));
  return FromGrpc(method(&context, request, &response));
}

}  // namespace

absl::StatusOr<JobInfo> MergeClient::Create(const v1::CreateJobRequest& request) {
  v1::Job job;
  MERGANSER_RETURN_IF_ERROR(Explain(
      Call(*impl_->channel, timeout_, request, job, [&](auto* context, const auto& in, auto* out) {
        return impl_->stub->CreateJob(context, in, out);
      })));
  return DecodeJob(job);
}

absl::StatusOr<JobInfo> MergeClient::Submit(const JobRequest& request,
                                            const std::string& request_id) {
  return Create(EncodeRequest(request, request_id.empty() ? RandomHex(16) : request_id));
}

absl::StatusOr<JobInfo> MergeClient::Validate(const JobRequest& request) {
  v1::CreateJobRequest validate = EncodeRequest(request, "");
  validate.set_validate_only(true);
  return Create(validate);
}

absl::StatusOr<JobInfo> MergeClient::Get(const std::string& name) {
  v1::GetJobRequest request;
  request.set_name(name);
  v1::Job job;
  MERGANSER_RETURN_IF_ERROR(Explain(
      Call(*impl_->channel, timeout_, request, job, [&](auto* context, const auto& in, auto* out) {
        return impl_->stub->GetJob(context, in, out);
      })));
  return DecodeJob(job);
}

absl::StatusOr<ListedJobs> MergeClient::List(int page_size, const std::string& page_token) {
  return List(JobQuery{page_size, page_token});
}

absl::StatusOr<ListedJobs> MergeClient::List(const JobQuery& query) {
  v1::ListJobsRequest request;
  request.set_page_size(query.page_size);
  request.set_page_token(query.page_token);
  request.set_filter(query.filter);
  request.set_order_by(query.order_by);
  v1::ListJobsResponse response;
  MERGANSER_RETURN_IF_ERROR(Explain(Call(*impl_->channel, timeout_, request, response,
                                         [&](auto* context, const auto& in, auto* out) {
                                           return impl_->stub->ListJobs(context, in, out);
                                         })));
  ListedJobs listed;
  for (const v1::Job& proto : response.jobs()) {
    MERGANSER_ASSIGN_OR_RETURN(JobInfo job, DecodeJob(proto));
    listed.jobs.push_back(std::move(job));
  }
  listed.next_page_token = response.next_page_token();
  listed.total_size = static_cast<size_t>(std::max(0, response.total_size()));
  return listed;
}

absl::StatusOr<std::vector<v1::Worker>> MergeClient::Workers() {
  std::vector<v1::Worker> workers;
  v1::ListWorkersRequest request;
  do {
    v1::ListWorkersResponse response;
    MERGANSER_RETURN_IF_ERROR(Explain(Call(*impl_->channel, timeout_, request, response,
                                           [&](auto* context, const auto& in, auto* out) {
                                             return impl_->stub->ListWorkers(context, in, out);
                                           })));
    for (v1::Worker& worker : *response.mutable_workers()) workers.push_back(std::move(worker));
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return workers;
}

absl::StatusOr<JobInfo> MergeClient::Cancel(const std::string& name) {
  v1::CancelJobRequest request;
  request.set_name(name);
  v1::Job job;
  MERGANSER_RETURN_IF_ERROR(Explain(
      Call(*impl_->channel, timeout_, request, job, [&](auto* context, const auto& in, auto* out) {
        return impl_->stub->CancelJob(context, in, out);
      })));
  return DecodeJob(job);
}

absl::StatusOr<JobInfo> MergeClient::SetPriority(const std::string& name, int32_t priority) {
  v1::SetJobPriorityRequest request;
  request.set_name(name);
  request.set_priority(priority);
  v1::Job job;
  MERGANSER_RETURN_IF_ERROR(Explain(
      Call(*impl_->channel, timeout_, request, job, [&](auto* context, const auto& in, auto* out) {
        return impl_->stub->SetJobPriority(context, in, out);
      })));
  return DecodeJob(job);
}

absl::Status MergeClient::Delete(const std::string& name) {
  v1::DeleteJobRequest request;
  request.set_name(name);
  google::protobuf::Empty nothing;
  return Explain(Call(*impl_->channel, timeout_, request, nothing,
                      [&](auto* context, const auto& in, auto* out) {
                        return impl_->stub->DeleteJob(context, in, out);
                      }));
}

absl::StatusOr<JobInfo> MergeClient::Watch(const std::string& name,
                                           const std::function<bool(const JobInfo&)>& on_change,
                                           const WatchPatience& patience,
                                           std::optional<JobInfo> known) {
  std::optional<JobInfo> last = std::move(known);
  std::optional<std::chrono::steady_clock::time_point> away_since, refused_since, poll_until;
  const auto say = [&](const std::string& line) {
    if (patience.notice) patience.notice(absl::StrCat("coordinator ", coordinator_, ": ", line));
  };
  while (true) {
    bool heard = false;
    const auto hear = [&](const JobInfo& job) {
      heard = true;
      if (away_since.has_value()) say("is back");
      away_since.reset();
      refused_since.reset();
      return on_change(job);
    };
    const bool poll = poll_until.has_value() && std::chrono::steady_clock::now() < *poll_until;
    const absl::StatusOr<bool> ended = poll ? Poll(name, hear, last) : WatchOnce(name, hear, last);
    if (ended.ok() && *ended) return *std::move(last);
    const auto now = std::chrono::steady_clock::now();
    if (!ended.ok()) {
      const absl::Status& gone = ended.status();
      if (!poll && IsRetryable(gone) && !absl::IsUnavailable(gone)) {
        poll_until = now + patience.polls;
        continue;
      }
      poll_until.reset();  // one that is back may have room
      // A coordinator that stops cancels what is under way.
      bool may_come_back = IsRetryable(gone) || absl::IsCancelled(gone);
      if (absl::IsUnauthenticated(gone) && away_since.has_value()) {
        if (!refused_since.has_value()) refused_since = now;
        may_come_back = now - *refused_since < kTokenPatience;
      }
      if (!last.has_value() || !may_come_back) return gone;
      if (heard || !away_since.has_value()) {
        if (patience.limit > Duration::zero()) {
          say(absl::IsUnavailable(gone) || absl::IsCancelled(gone)
                  ? "went away; waiting for it"
                  : absl::StrCat("is busy; waiting for it: ", std::string(gone.message())));
        }
        away_since = now;
      }
      if (now - *away_since >= patience.limit) return gone;
    }
    const auto until = now + patience.pause;
    while (std::chrono::steady_clock::now() < until) {
      if (!on_change(*last)) return *std::move(last);
      std::this_thread::sleep_for(std::min<Duration>(patience.pause, kWatchPoll));
    }
  }
}

absl::StatusOr<bool> MergeClient::Poll(const std::string& name,
                                       const std::function<bool(const JobInfo&)>& on_change,
                                       std::optional<JobInfo>& last) {
  MERGANSER_ASSIGN_OR_RETURN(last, Get(name));
  // As a stream would show it.
  last->request.recipe.clear();
  last->events.clear();
  return !on_change(*last) || IsTerminal(last->state);
}

absl::StatusOr<bool> MergeClient::WatchOnce(const std::string& name,
                                            const std::function<bool(const JobInfo&)>& on_change,
                                            std::optional<JobInfo>& last) {
  grpc::ClientContext context;
  MERGANSER_RETURN_IF_ERROR(impl_->channel->Authorize(context).status());
  grpc::CompletionQueue queue;
  v1::WatchJobRequest request;
  request.set_name(name);
  const auto reader = impl_->stub->PrepareAsyncWatchJob(&context, request, &queue);
  reader->StartCall(&context);  // any tag: one operation is under way at a time
  absl::Status error;
  bool heard = false;
  bool ended_by_us = false;
  bool started = false;
  v1::Job proto;
  while (true) {
    void* tag = nullptr;
    bool ok = false;
    const auto event = queue.AsyncNext(&tag, &ok, std::chrono::system_clock::now() + kWatchPoll);
    if (event == grpc::CompletionQueue::TIMEOUT) {
      if (last.has_value() && !ended_by_us && !on_change(*last)) {
        ended_by_us = true;
        context.TryCancel();
      }
      continue;
    }
    if (!ok) break;
    if (started && !ended_by_us) {
      absl::StatusOr<JobInfo> job = DecodeJob(proto);
      error = job.status();
      if (job.ok()) {
        last = *std::move(job);
        heard = true;
      }
      if (!error.ok() || !on_change(*last)) {
        ended_by_us = true;
        context.TryCancel();
      }
    }
    started = true;
    reader->Read(&proto, &context);
  }
  grpc::Status status;
  reader->Finish(&status, &context);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  MERGANSER_RETURN_IF_ERROR(error);
  if (ended_by_us) return true;
  MERGANSER_RETURN_IF_ERROR(Explain(FromGrpc(status)));
  if (heard && IsTerminal(last->state)) return true;
  return Explain(absl::UnavailableError(absl::StrCat("the stream of ", name, " ended early")));
}

absl::Status MergeClient::Health() {
  MERGANSER_RETURN_IF_ERROR(impl_->channel->status());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::duration_cast<std::chrono::system_clock::duration>(timeout_));
  const grpc::health::v1::HealthCheckRequest request;
  grpc::health::v1::HealthCheckResponse response;
  const auto stub = grpc::health::v1::Health::NewStub(impl_->channel->channel());
  MERGANSER_RETURN_IF_ERROR(Explain(FromGrpc(stub->Check(&context, request, &response))));
  if (response.status() != grpc::health::v1::HealthCheckResponse::SERVING) {
    return absl::UnavailableError(absl::StrCat("coordinator ", coordinator_,
                                               ": found it not serving (it is shutting down, or ",
                                               "has no place for calls), expected SERVING"));
  }
  return absl::OkStatus();
}

}  // namespace merganser
