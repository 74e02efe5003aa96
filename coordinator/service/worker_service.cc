#include "coordinator/service/worker_service.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/engine/result_record.h"
#include "coordinator/service/requests.h"
#include "proto/convert/status_codec.h"
#include "proto/convert/wire_version.h"

namespace merganser {
namespace {

constexpr size_t kMaxWorkerName = 256;
constexpr size_t kMaxFailureMessage = 4096;  // it stays with the job
constexpr uint32_t kMaxWanted = 1024;
constexpr int kMaxListed = 65536;
constexpr size_t kChunkBytes = size_t{1} << 20;

void SetDuration(Duration duration, google::protobuf::Duration* proto) {
  proto->set_seconds(duration / std::chrono::seconds(1));
  proto->set_nanos(static_cast<int32_t>((duration % std::chrono::seconds(1)).count()));
}

void WriteChunks(const std::string& bytes, grpc::ServerWriter<v1::JobPlanChunk>* writer) {
  for (size_t at = 0; at < bytes.size(); at += kChunkBytes) {
    v1::JobPlanChunk chunk;
    chunk.set_data(bytes.substr(at, kChunkBytes));
    if (!writer->Write(chunk)) break;  // the worker went away
  }
}

absl::Status CheckSync(const v1::SyncRequest& request) {
  const std::string& worker = request.worker();
  const bool printable = std::all_of(worker.begin(), worker.end(),
                                     [](unsigned char c) { return c > 0x20 && c < 0x7f; });
  if (worker.empty() || worker.size() > kMaxWorkerName || !printable) {
    return ReasonedError(
        absl::StatusCode::kInvalidArgument, "WORKER_INVALID",
        absl::StrCat("worker: found ", worker.size(), " bytes, expected 1 to ", kMaxWorkerName,
                     " printable characters without spaces, unique to the process"));
  }
  if (request.numerics_version() != kNumericsVersion) {
    return ReasonedError(absl::StatusCode::kFailedPrecondition, "NUMERICS_VERSION",
                         absl::StrCat("worker ", worker, ": found numerics version ",
                                      request.numerics_version(), ", expected the coordinator's ",
                                      kNumericsVersion, "; install the same merganser on both"));
  }
  if (request.wire_version() != kWireVersion) {
    return ReasonedError(
        absl::StatusCode::kFailedPrecondition, "WIRE_VERSION",
        absl::StrCat("worker ", worker, ": found wire version ", request.wire_version(),
                     request.version().empty() ? "" : " (",
                     OneLine(request.version().substr(0, 64)), request.version().empty() ? "" : ")",
                     ", expected the coordinator's ", kWireVersion,
                     "; install the same merganser on both"));
  }
  if (request.in_flight_size() > kMaxListed || request.completed_size() > kMaxListed ||
      request.failed_size() > kMaxListed || request.returned_size() > kMaxListed) {
    return ReasonedError(
        absl::StatusCode::kInvalidArgument, "SYNC_INVALID",
        absl::StrCat("worker ", worker, ": expected lists of at most ", kMaxListed, " units"));
  }
  return absl::OkStatus();
}

}  // namespace

grpc::Status WorkerServiceImpl::Sync(grpc::ServerContext* context, const v1::SyncRequest* request,
                                     v1::SyncResponse* response) try {
  MERGANSER_ADMIT(caller, authorizer_, *context, "/merganser.v1.WorkerService/Sync");
  if (const absl::Status valid = CheckSync(*request); !valid.ok()) return ToGrpc(valid);
  WorkerReport report;
  report.worker = request->worker();
  report.sequence = request->sequence();
  report.threads = request->threads();
  report.memory = request->memory_bytes();
  report.simd = OneLine(request->simd().substr(0, 64));
  report.host = OneLine(request->host().substr(0, 256));
  report.version = OneLine(request->version().substr(0, 64));
  report.wanted = std::min(request->wanted(), kMaxWanted);
  report.draining = request->draining();
  for (const v1::UnitInFlight& unit : request->in_flight()) {
    report.in_flight.push_back({unit.token(), unit.bytes_done(), unit.work()});
  }
  std::map<std::string, std::shared_ptr<const ActivePlan>> plans;
  for (const v1::UnitCompletion& done : request->completed()) {
    auto [it, inserted] = plans.try_emplace(done.job_uid());
    if (inserted) it->second = jobs_.FindPlan(done.job_uid());
    if (it->second == nullptr) {  // the job is over
      response->add_acknowledged(done.token());
      continue;
    }
    absl::StatusOr<UnitResult> result = ParseResult(done.record(), *it->second->plan);
    if (result.ok()) {
      report.completed.push_back({done.token(), done.job_uid(), *std::move(result), done.record()});
    } else {
      // Trying again would end the same way: the worker and we disagree on the plan. Of which unit
      // the lease is we know.
      report.failed.push_back({done.token(), done.job_uid(), 0,
                               absl::InternalError(std::string(result.status().message()))});
    }
  }
  for (const v1::UnitFailure& failure : request->failed()) {
    report.failed.push_back({failure.token(), failure.job_uid(), failure.unit(),
                             absl::Status(FailureCode(failure.code()),
                                          Cut(OneLine(failure.message()), kMaxFailureMessage))});
  }
  report.returned.assign(request->returned().begin(), request->returned().end());

  absl::StatusOr<WorkerAnswer> answer = jobs_.Sync(std::move(report));
  if (!answer.ok()) {
    if (absl::IsAborted(answer.status())) {
      return ToGrpc(ReasonedError(absl::StatusCode::kAborted, "SYNC_OUT_OF_ORDER",
                                  std::string(answer.status().message())));
    }
    return ToGrpc(answer.status());
  }
  response->set_epoch(answer->epoch);
  response->set_wire_version(kWireVersion);
  for (const LeaseGrant& grant : answer->leases) {
    v1::Lease& lease = *response->add_leases();
    lease.set_job_uid(grant.job);
    lease.set_unit(grant.unit);
    lease.set_token(grant.token);
    SetDuration(grant.ttl, lease.mutable_ttl());
    lease.set_round(grant.round);
  }
  for (const std::string& token : answer->revoked) response->add_revoked(token);
  for (const std::string& token : answer->acknowledged) response->add_acknowledged(token);
  SetDuration(answer->next_sync_after, response->mutable_next_sync_after());
  return grpc::Status::OK;
} catch (...) {
  return ToGrpc(CaughtStatus());
}

grpc::Status WorkerServiceImpl::GetJobPlan(grpc::ServerContext* context,
                                           const v1::GetJobPlanRequest* request,
                                           grpc::ServerWriter<v1::JobPlanChunk>* writer) try {
  MERGANSER_ADMIT(caller, authorizer_, *context, "/merganser.v1.WorkerService/GetJobPlan");
  const std::shared_ptr<const ActivePlan> active = jobs_.FindPlan(request->job_uid());
  if (active == nullptr) return ToGrpc(JobNotFound(JobName(request->job_uid())));
  WriteChunks(active->serialized, writer);
  return grpc::Status::OK;
} catch (...) {
  return ToGrpc(CaughtStatus());
}

grpc::Status WorkerServiceImpl::GetJobGates(grpc::ServerContext* context,
                                            const v1::GetJobGatesRequest* request,
                                            grpc::ServerWriter<v1::JobPlanChunk>* writer) try {
  MERGANSER_ADMIT(caller, authorizer_, *context, "/merganser.v1.WorkerService/GetJobGates");
  const std::shared_ptr<const std::string> gates =
      jobs_.FindGates(request->job_uid(), request->round());
  if (gates == nullptr) return ToGrpc(JobNotFound(JobName(request->job_uid())));
  WriteChunks(*gates, writer);
  return grpc::Status::OK;
} catch (...) {
  return ToGrpc(CaughtStatus());
}

}  // namespace merganser
