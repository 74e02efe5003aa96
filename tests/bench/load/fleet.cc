#include "tests/bench/load/fleet.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/engine/result_record.h"
#include "grpcpp/alarm.h"
#include "grpcpp/grpcpp.h"
#include "proto/convert/wire_version.h"
#include "proto/merganser/v1/merge_service.grpc.pb.h"
#include "proto/merganser/v1/worker_service.grpc.pb.h"

namespace merganser::load {
namespace {

constexpr int kExperts = 3;

// What resmerge tells of a unit of one matrix (common/publish/REPORT.md).
UnitResult ResultOf(const Plan& plan, uint32_t number) {
  const Unit& unit = plan.units.at(number);
  UnitResult result;
  result.unit = number;
  result.segment_digests.assign(unit.segments.size(), "9b2cf535f27731c974343645a398532f");
  result.receipts = {{unit.begin, unit.end - unit.begin, "\"9b2cf535f27731c974343645a3985328\""}};
  const auto each = [](double value) { return std::vector<double>(kExperts, value); };
  for (const Segment& segment : unit.segments) {
    LeafReport& leaf = result.leaves.emplace_back();
    leaf.tensor = segment.tensor;
    leaf.leaf = segment.leaf_begin;
    leaf.seconds = 0.7;
    leaf.fields = {{"coherence", {0.58}},
                   {"jump_distance", {0.0031}},
                   {"s", {0.012}},
                   {"score", {0.648}},
                   {"beta", {0.84}},
                   {"branch", {1}},
                   {"backbone_norm", {0.74}},
                   {"head_agreement", {0.21}},
                   {"correction_norm", {0.012}},
                   {"residual_norm", each(0.91), true},
                   {"head_norm", each(0.12), true},
                   {"head_energy", each(0.07), true},
                   {"sigma", each(0.12), true},
                   {"gap_ratio", each(0.4), true},
                   {"ill_defined", {0}},
                   {"steps", each(14), true},
                   {"passes", each(6), true},
                   {"solver_residual", each(1e-7), true}};
  }
  result.bytes_written = unit.end - unit.begin;
  result.bytes_read = (kExperts + 1) * result.bytes_written;
  result.seconds = 1.9;
  result.stages = {0.1, 0.4, 1.2, 0.1, 0.05};
  return result;
}

std::shared_ptr<grpc::Channel> OwnConnection(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

// Something that the queue tells of.
class Fleet::Call {
 public:
  explicit Call(Fleet& fleet) : fleet_(fleet) {}
  virtual ~Call() = default;
  virtual void Came(bool ok) = 0;

 protected:
  std::unique_ptr<grpc::ClientContext> Context() const {
    auto context = std::make_unique<grpc::ClientContext>();
    context->AddMetadata("authorization", "Bearer " + fleet_.token_);
    return context;
  }

  Fleet& fleet_;
};

class Fleet::Worker final : public Call {
 public:
  Worker(Fleet& fleet, size_t number, Clock::time_point first, std::chrono::milliseconds period)
      : Call(fleet),
        period_(period),
        due_(first),
        stub_(v1::WorkerService::NewStub(OwnConnection(fleet.address_))) {
    request_.set_worker(absl::StrCat("node-", number, "-pid-", 1000 + number));
    request_.set_numerics_version(kNumericsVersion);
    request_.set_wire_version(kWireVersion);
    request_.set_threads(16);
    request_.set_memory_bytes(uint64_t{32} << 30);
    request_.set_simd("AVX3");
    request_.set_host(absl::StrCat("node-", number));
    request_.set_version("merganser of a benchmark");
    request_.set_wanted(1);
    Sleep();
  }

  void Came(bool ok) override {
    if (!std::exchange(calling_, false)) {
      if (ok) Begin();
      return;
    }
    if (status_.ok()) {
      fleet_.syncs_.Add(Seconds(Clock::now() - began_));
      fleet_.units_ += static_cast<uint64_t>(request_.completed_size());
      request_.clear_completed();
      request_.set_epoch(answer_.epoch());
      for (const v1::Lease& lease : answer_.leases()) {
        v1::UnitCompletion& done = *request_.add_completed();
        done.set_token(lease.token());
        done.set_job_uid(lease.job_uid());
        done.set_record(PackResult(fleet_.plan_.digest, ResultOf(fleet_.plan_, lease.unit())));
        fleet_.message_bytes_ = request_.ByteSizeLong();
      }
    } else {
      fleet_.syncs_.Fail(
          absl::StrCat("Sync: ", status_.error_code(), " ", status_.error_message()));
    }
    // Calls that took longer than their turn do not come in a burst.
    do due_ += period_;
    while (due_ < Clock::now());
    Sleep();
  }

 private:
  void Sleep() {
    const auto wait = due_ - Clock::now();
    alarm_.Set(&fleet_.queue_,
               std::chrono::system_clock::now() +
                   std::chrono::duration_cast<std::chrono::system_clock::duration>(wait),
               static_cast<Call*>(this));
  }

  void Begin() {
    calling_ = true;
    request_.set_sequence(request_.sequence() + 1);
    context_ = Context();
    context_->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    answer_.Clear();
    began_ = Clock::now();
    reader_ = stub_->AsyncSync(context_.get(), request_, &fleet_.queue_);
    reader_->Finish(&answer_, &status_, static_cast<Call*>(this));
  }

  const std::chrono::milliseconds period_;
  Clock::time_point due_, began_;
  const std::unique_ptr<v1::WorkerService::Stub> stub_;
  grpc::Alarm alarm_;
  bool calling_ = false;
  v1::SyncRequest request_;
  v1::SyncResponse answer_;
  grpc::Status status_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<v1::SyncResponse>> reader_;
};

class Fleet::Watcher final : public Call {
 public:
  Watcher(Fleet& fleet, const std::string& job)
      : Call(fleet),
        stub_(v1::MergeService::NewStub(OwnConnection(fleet.address_))),
        context_(Context()) {
    v1::WatchJobRequest request;
    request.set_name(job);
    reader_ = stub_->PrepareAsyncWatchJob(context_.get(), request, &fleet.queue_);
    // From here on the queue's thread has it.
    reader_->StartCall(static_cast<Call*>(this));
  }

  void Came(bool ok) override {
    if (ended_) {
      ++fleet_.watches_ended_;
      return;
    }
    if (!ok) {
      ended_ = true;
      reader_->Finish(&status_, static_cast<Call*>(this));
      return;
    }
    if (begun_) ++fleet_.messages_;
    begun_ = true;
    reader_->Read(&job_, static_cast<Call*>(this));
  }

 private:
  const std::unique_ptr<v1::MergeService::Stub> stub_;
  const std::unique_ptr<grpc::ClientContext> context_;
  bool begun_ = false, ended_ = false;
  v1::Job job_;
  grpc::Status status_;
  std::unique_ptr<grpc::ClientAsyncReader<v1::Job>> reader_;
};

Fleet::Fleet(std::string address, std::string token, const Plan& plan)
    : address_(std::move(address)), token_(std::move(token)), plan_(plan) {
  thread_ = std::thread([this] {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) static_cast<Call*>(tag)->Came(ok);
  });
}

void Fleet::AddWorker(size_t number, Clock::time_point first, std::chrono::milliseconds period) {
  calls_.push_back(std::make_unique<Worker>(*this, number, first, period));
}

void Fleet::AddWatcher(const std::string& job) {
  calls_.push_back(std::make_unique<Watcher>(*this, job));
}

}  // namespace merganser::load
