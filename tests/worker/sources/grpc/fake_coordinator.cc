#include "tests/worker/sources/grpc/fake_coordinator.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "proto/convert/plan_codec.h"
#include "proto/convert/status_codec.h"
#include "proto/convert/wire_version.h"
#include "tests/testing/unit_plan.h"

namespace merganser {
namespace {

// Four units, whose inputs nobody reads here.
JobPlan SmallPlan(const std::string& uid, const std::string& output_uri) {
  JobPlan job;
  job.job = "jobs/" + uid;
  job.job_uid = uid;
  job.output_uri = output_uri;
  job.plan = UnitPlan(4);
  job.plan.models[0].uri = output_uri;
  job.plan.method.method = "resmerge";
  job.plan.method.numbers = {
      {"rank_topk", 1}, {"src_beta_min", 0.7}, {"src_beta_max", 1.0}, {"head_ratio_budget", 0.2}};
  job.plan.method.choices = {{"roles", "structure"}, {"scope", "tensor"}};
  job.plan.method.per_model = {{}};
  job.writes = {{"model.safetensors", 400, "upload"}};
  return job;
}

}  // namespace

FakeCoordinator::FakeCoordinator(const std::string& output_uri, int port)
    : output_uri_(output_uri) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort(absl::StrCat("127.0.0.1:", port), grpc::InsecureServerCredentials(),
                           &port_);
  builder.SetMaxReceiveMessageSize(64 << 20);  // as the real one
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  EXPECT_NE(server_, nullptr);
}

FakeCoordinator::~FakeCoordinator() {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
}

std::string FakeCoordinator::address() const { return absl::StrCat("127.0.0.1:", port_); }

void FakeCoordinator::Handle(Handler handler) {
  MutexLock lock(mutex_);
  handler_ = std::move(handler);
}

void FakeCoordinator::SetEpoch(uint64_t epoch) {
  MutexLock lock(mutex_);
  epoch_ = epoch;
}

void FakeCoordinator::SetJob(const std::string& uid) {
  MutexLock lock(mutex_);
  job_ = uid;
}

v1::SyncRequest FakeCoordinator::Await(const std::function<bool(const v1::SyncRequest&)>& wanted) {
  MutexLock lock(mutex_);
  size_t next = 0;
  while (true) {
    for (; next < requests_.size(); ++next) {
      if (wanted(requests_[next])) return requests_[next];
    }
    changed_.Wait(mutex_);
  }
}

size_t FakeCoordinator::calls() const {
  MutexLock lock(mutex_);
  return requests_.size();
}

grpc::Status FakeCoordinator::Sync(grpc::ServerContext*, const v1::SyncRequest* request,
                                   v1::SyncResponse* response) {
  MutexLock lock(mutex_);
  response->set_epoch(epoch_);
  response->set_wire_version(kWireVersion);
  response->mutable_next_sync_after()->set_nanos(10'000'000);
  for (const auto& done : request->completed()) response->add_acknowledged(done.token());
  for (const auto& failed : request->failed()) response->add_acknowledged(failed.token());
  for (const auto& token : request->returned()) response->add_acknowledged(token);
  const absl::Status status = handler_ ? handler_(*request, *response) : absl::OkStatus();
  requests_.push_back(*request);
  changed_.NotifyAll();
  return ToGrpc(status);
}

grpc::Status FakeCoordinator::GetJobPlan(grpc::ServerContext*, const v1::GetJobPlanRequest* request,
                                         grpc::ServerWriter<v1::JobPlanChunk>* writer) {
  {
    MutexLock lock(mutex_);
    if (request->job_uid() != job_) return ToGrpc(absl::NotFoundError("no such job"));
  }
  const std::string bytes = SerializeJobPlan(SmallPlan(request->job_uid(), output_uri_));
  // In pieces that cut through fields.
  for (size_t at = 0; at < bytes.size(); at += 50) {
    v1::JobPlanChunk chunk;
    chunk.set_data(bytes.substr(at, 50));
    writer->Write(chunk);
  }
  return grpc::Status::OK;
}

void AddLease(v1::SyncResponse& response, uint32_t unit, const std::string& token,
              const std::string& job) {
  v1::Lease& lease = *response.add_leases();
  lease.set_job_uid(job);
  lease.set_unit(unit);
  lease.set_token(token);
  lease.mutable_ttl()->set_seconds(60);
}

}  // namespace merganser
