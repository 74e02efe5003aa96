#include "worker/sources/grpc/worker_client.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/mutex.h"
#include "common/base/status.h"
#include "common/plan/plan.h"
#include "grpcpp/grpcpp.h"
#include "proto/channel/channel.h"
#include "proto/convert/gates_codec.h"
#include "proto/convert/plan_codec.h"
#include "proto/convert/status_codec.h"
#include "proto/convert/wire_version.h"
#include "proto/merganser/v1/worker_service.grpc.pb.h"

namespace merganser {
namespace {

constexpr int kMaxReceiveBytes = 64 << 20;
// The coordinator takes messages of 64 MiB; beside the one result stand the units in flight.
constexpr size_t kMaxResultBytes = size_t{60} << 20;
constexpr int kReconnectMs = 100;
constexpr int kMaxReconnectMs = 10'000;
// What an attempt to connect has at least, a TLS handshake with a machine far away or busy
// included.
constexpr int kMinConnectMs = 2000;

void EncodeFailure(const LeaseReport& report, const absl::Status& status,
                   v1::SyncRequest& request) {
  v1::UnitFailure& failed = *request.add_failed();
  failed.set_token(report.lease.token);
  failed.set_job_uid(report.lease.job_uid);
  failed.set_unit(report.lease.unit);
  failed.set_code(static_cast<int>(status.code()));
  failed.set_message(OneLine(std::string(status.message())));
}

void EncodeReport(const LeaseReport& report, v1::SyncRequest& request) {
  switch (report.kind) {
    case LeaseReport::Kind::kCompleted: {
      v1::UnitCompletion& done = *request.add_completed();
      done.set_token(report.lease.token);
      done.set_job_uid(report.lease.job_uid);
      done.set_record(report.record);
      const size_t bytes = done.ByteSizeLong();
      if (bytes <= kMaxResultBytes) break;
      // It would be refused as often as it is sent.
      request.mutable_completed()->RemoveLast();
      EncodeFailure(report,
                    absl::InternalError(absl::StrCat(
                        "unit ", report.lease.unit, ": its result takes ", FormatBytes(bytes),
                        ", expected at most ", FormatBytes(kMaxResultBytes),
                        " of what is measured of one unit: give the recipe a smaller unit_size")),
                    request);
      break;
    }
    case LeaseReport::Kind::kFailed:
      EncodeFailure(report, report.status, request);
      break;
    case LeaseReport::Kind::kReturned:
      request.add_returned(report.lease.token);
      break;
  }
}

v1::SyncRequest EncodeCall(const SyncCall& call) {
  v1::SyncRequest request;
  request.set_worker(call.worker);
  request.set_sequence(call.sequence);
  request.set_epoch(call.epoch);
  request.set_numerics_version(kNumericsVersion);
  request.set_wire_version(kWireVersion);
  request.set_threads(call.threads);
  request.set_memory_bytes(call.memory);
  request.set_simd(call.simd);
  request.set_host(call.host);
  request.set_version(call.version);
  for (const InFlightUnit& unit : call.leases.in_flight) {
    v1::UnitInFlight& u = *request.add_in_flight();
    u.set_token(unit.token);
    u.set_bytes_done(unit.bytes_done);
    u.set_work(unit.work);
  }
  for (const LeaseReport& report : call.leases.reports) EncodeReport(report, request);
  request.set_wanted(call.wanted);
  request.set_draining(call.draining);
  return request;
}

SyncReply DecodeReply(const v1::SyncResponse& response) {
  SyncReply reply;
  reply.epoch = response.epoch();
  for (const v1::Lease& lease : response.leases()) {
    reply.leases.push_back({lease.token(), lease.job_uid(), lease.unit(), lease.round()});
  }
  reply.revoked.assign(response.revoked().begin(), response.revoked().end());
  reply.acknowledged.assign(response.acknowledged().begin(), response.acknowledged().end());
  // Bounded, whatever was sent: neither a busy loop nor a worker that is taken
  // for dead.
  const int64_t seconds = std::clamp<int64_t>(response.next_sync_after().seconds(), 0, 60);
  const int64_t nanos = std::clamp<int64_t>(response.next_sync_after().nanos(), 0, 999'999'999);
  reply.next_sync_after =
      std::max<Duration>(std::chrono::seconds(seconds) + std::chrono::nanoseconds(nanos),
                         std::chrono::milliseconds(5));
  return reply;
}

}  // namespace

struct WorkerClient::Impl {
  std::string coordinator;
  std::unique_ptr<CoordinatorChannel> channel;
  Stores stores;
  std::unique_ptr<v1::WorkerService::Stub> stub;
  Mutex mutex;
  bool cancelled MERGANSER_GUARDED_BY(mutex) = false;
  bool fetches_cancelled MERGANSER_GUARDED_BY(mutex) = false;
  std::set<grpc::ClientContext*> syncs MERGANSER_GUARDED_BY(mutex);
  std::set<grpc::ClientContext*> fetches MERGANSER_GUARDED_BY(mutex);
};

namespace {

// A call's context, known to Cancel while the call lasts.
template <typename Impl>
class CallContext {
 public:
  CallContext(Impl& impl, Duration timeout, bool fetch) : impl_(impl), fetch_(fetch) {
    context_.set_deadline(std::chrono::system_clock::now() +
                          std::chrono::duration_cast<std::chrono::system_clock::duration>(timeout));
    MutexLock lock(impl_.mutex);
    if (impl_.cancelled || (fetch_ && impl_.fetches_cancelled)) context_.TryCancel();
    (fetch_ ? impl_.fetches : impl_.syncs).insert(&context_);
  }
  ~CallContext() {
    MutexLock lock(impl_.mutex);
    (fetch_ ? impl_.fetches : impl_.syncs).erase(&context_);
  }
  grpc::ClientContext* get() { return &context_; }

 private:
  Impl& impl_;
  const bool fetch_;
  grpc::ClientContext context_;
};

}  // namespace

WorkerClient::WorkerClient(const std::string& coordinator, const ChannelSecurity& security,
                           const Stores& stores)
    : impl_(std::make_unique<Impl>()) {
  impl_->coordinator = coordinator;
  impl_->stores = stores;
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kMinConnectMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectMs);
  // A machine that is gone sends no reset: without these a call waits for TCP to give up on it, a
  // quarter of an hour.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000);
  impl_->channel = std::make_unique<CoordinatorChannel>(coordinator, security, arguments);
  impl_->stub = v1::WorkerService::NewStub(impl_->channel->channel());
}

WorkerClient::~WorkerClient() = default;

absl::StatusOr<SyncReply> WorkerClient::Sync(const SyncCall& call, Duration timeout) {
  CallContext<Impl> context(*impl_, timeout, /*fetch=*/false);
  MERGANSER_ASSIGN_OR_RETURN(const uint64_t token, impl_->channel->Authorize(*context.get()));
  v1::SyncResponse response;
  const grpc::Status called = impl_->stub->Sync(context.get(), EncodeCall(call), &response);
  if (called.ok() && response.wire_version() != kWireVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "coordinator ", impl_->coordinator, ": found wire version ", response.wire_version(),
        ", expected this worker's ", kWireVersion, "; install the same merganser on both"));
  }
  if (called.ok()) return DecodeReply(response);
  absl::Status status = Annotate(impl_->channel->Explain(FromGrpc(called)),
                                 absl::StrCat("coordinator ", impl_->coordinator));
  if (absl::IsUnauthenticated(status) && impl_->channel->TokenChanged(token)) {
    return absl::UnavailableError(std::string(status.message()));
  }
  return status;
}

absl::StatusOr<std::string> WorkerClient::ReadStream(const Open& open, size_t limit,
                                                     const std::string& what, Duration timeout) {
  std::string bytes;
  CallContext<Impl> context(*impl_, timeout, /*fetch=*/true);
  MERGANSER_RETURN_IF_ERROR(impl_->channel->Authorize(*context.get()).status());
  const auto reader = open(context.get());
  v1::JobPlanChunk chunk;
  bool too_large = false;
  while (reader->Read(&chunk)) {
    too_large = too_large || bytes.size() + chunk.data().size() > limit;
    if (too_large) {
      context.get()->TryCancel();
    } else {
      bytes += chunk.data();
    }
  }
  const grpc::Status status = reader->Finish();
  if (too_large) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": found more than ", limit, " bytes"));
  }
  if (!status.ok()) {
    absl::Status explained = Annotate(impl_->channel->Explain(FromGrpc(status)),
                                      absl::StrCat("coordinator ", impl_->coordinator));
    // The Sync that gave the lease was let in: tokens are being changed, and that is no
    // fault of the job.
    if (absl::IsUnauthenticated(explained) || absl::IsPermissionDenied(explained)) {
      return absl::UnavailableError(std::string(explained.message()));
    }
    return explained;
  }
  return bytes;
}

absl::StatusOr<std::shared_ptr<const JobContext>> WorkerClient::FetchJob(const std::string& job_uid,
                                                                         Duration timeout) {
  v1::GetJobPlanRequest request;
  request.set_job_uid(job_uid);
  MERGANSER_ASSIGN_OR_RETURN(
      const std::string bytes,
      ReadStream(
          [&](grpc::ClientContext* context) { return impl_->stub->GetJobPlan(context, request); },
          kMaxJobPlanBytes, absl::StrCat("plan of job ", job_uid), timeout));
  MERGANSER_ASSIGN_OR_RETURN(JobPlan plan, ParseJobPlan(bytes));
  auto context = MakeJobContext(std::move(plan.job), std::move(plan.job_uid), std::move(plan.plan),
                                plan.output_uri, std::move(plan.writes), impl_->stores);
  // kNotFound here would read as "the job is over"; it is a path that this
  // machine does not have.
  if (absl::IsNotFound(context.status())) {
    return absl::FailedPreconditionError(std::string(context.status().message()));
  }
  return context;
}

absl::StatusOr<std::shared_ptr<const Gates>> WorkerClient::FetchGates(const std::string& job_uid,
                                                                      uint32_t round,
                                                                      const JobContext& job,
                                                                      Duration timeout) {
  v1::GetJobGatesRequest request;
  request.set_job_uid(job_uid);
  request.set_round(round);
  MERGANSER_ASSIGN_OR_RETURN(
      const std::string bytes,
      ReadStream(
          [&](grpc::ClientContext* context) { return impl_->stub->GetJobGates(context, request); },
          kMaxGatesBytes, absl::StrCat("gates of job ", job_uid), timeout));
  MERGANSER_ASSIGN_OR_RETURN(Gates gates, ParseGates(bytes, job.plan));
  return std::make_shared<const Gates>(std::move(gates));
}

void WorkerClient::CancelFetches() {
  MutexLock lock(impl_->mutex);
  impl_->fetches_cancelled = true;
  for (grpc::ClientContext* context : impl_->fetches) context->TryCancel();
}

void WorkerClient::Cancel() {
  CancelFetches();
  MutexLock lock(impl_->mutex);
  impl_->cancelled = true;
  for (grpc::ClientContext* context : impl_->syncs) context->TryCancel();
}

}  // namespace merganser
