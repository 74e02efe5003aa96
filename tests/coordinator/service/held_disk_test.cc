// A journal whose disk does not answer for ten seconds: who only looks does not notice, and who has
// something to record is told to wait or waits.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "common/engine/result_record.h"
#include "coordinator/journal/journal.h"
#include "coordinator/service/client.h"
#include "coordinator/service/server.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "proto/convert/wire_version.h"
#include "proto/merganser/v1/merge_service.grpc.pb.h"
#include "proto/merganser/v1/worker_service.grpc.pb.h"
#include "tests/coordinator/journal/hung_disk.h"
#include "tests/coordinator/service/service_fixture.h"
#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kHeld(10);
// Answers come within milliseconds; a machine may be busy with other tests.
constexpr std::chrono::seconds kAtOnce(2);
constexpr char kToken[] = "the-token-of-the-held-disk";

class HeldDiskTest : public ::testing::Test {
 protected:
  HeldDiskTest() {
    JournalOptions journal;
    journal.directory = dir_.File("state");
    auto opened = Journal::Open(journal, SystemClock());
    EXPECT_TRUE(opened.ok()) << opened.status();
    journal_ = *std::move(opened);
    ServerOptions options;
    options.jobs = QuickOptions();
    options.judging = Duration::zero();
    options.security.token = kToken;
    auto server = Server::Start(options, SystemClock(), *journal_, storage_.Runs());
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    client_ = std::make_unique<MergeClient>(server_->address(), Security());
    const auto channel =
        grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials());
    workers_ = v1::WorkerService::NewStub(channel);
    merges_ = v1::MergeService::NewStub(channel);
  }
  ~HeldDiskTest() override {
    disk_.Answer();
    storage_.Open();
    client_.reset();
    server_.reset();
  }

  static ChannelSecurity Security() {
    ChannelSecurity security;
    security.token = kToken;
    return security;
  }
  static void Authorize(grpc::ClientContext& context, Duration limit) {
    context.AddMetadata("authorization", std::string("Bearer ") + kToken);
    context.set_deadline(std::chrono::system_clock::now() + limit);
  }
  // A call of a worker, which returns how it ended.
  grpc::Status Sync(const std::string& worker, Duration limit, uint32_t wanted,
                    const v1::UnitCompletion* done, v1::SyncResponse& answer) {
    grpc::ClientContext context;
    Authorize(context, limit);
    v1::SyncRequest request;
    request.set_worker(worker);
    request.set_sequence(++sequence_);
    request.set_numerics_version(kNumericsVersion);
    request.set_wire_version(kWireVersion);
    request.set_memory_bytes(1000);
    request.set_wanted(wanted);
    if (done != nullptr) *request.add_completed() = *done;
    answer.Clear();
    return workers_->Sync(&context, request, &answer);
  }

  TempDir dir_;
  HungDisk disk_;
  FakeStorage storage_{/*units=*/3};
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<MergeClient> client_;
  std::unique_ptr<v1::WorkerService::Stub> workers_;
  std::unique_ptr<v1::MergeService::Stub> merges_;
  std::atomic<uint64_t> sequence_{0};
};

TEST_F(HeldDiskTest, HealthListsAndWatchersDoNotNotice) {
  const auto job = client_->Submit(ValidRequest());
  ASSERT_TRUE(job.ok()) << job.status();
  v1::SyncResponse answer;
  while (answer.leases_size() == 0) {
    ASSERT_TRUE(Sync("busy", kHeld, 1, nullptr, answer).ok());
  }
  const v1::Lease lease = answer.leases(0);
  disk_.Hang();

  // Those who have something to record: a user and a worker.
  std::atomic<bool> submitted{false};
  std::thread submits([&] {
    const auto second = MergeClient(server_->address(), Security(), std::chrono::minutes(2))
                            .Submit(ValidRequest("/nowhere/second"));
    submitted = second.ok();
    EXPECT_TRUE(second.ok()) << second.status();
  });
  v1::UnitCompletion done;
  done.set_token(lease.token());
  done.set_job_uid(lease.job_uid());
  UnitResult result;
  result.unit = lease.unit();
  result.segment_digests = {std::string(32, 'a')};
  done.set_record(PackResult("digest", result));
  v1::SyncResponse taken;
  grpc::Status reported;
  std::thread reports([&] { reported = Sync("busy", std::chrono::minutes(1), 0, &done, taken); });
  disk_.AwaitHung();

  const auto until = steady_clock::now() + kHeld;
  Duration slowest = Duration::zero();
  std::string what;
  const auto at_once = [&](const char* name, auto call) {
    const auto began = steady_clock::now();
    const absl::Status status = call();
    const Duration took = steady_clock::now() - began;
    EXPECT_TRUE(status.ok()) << name << ": " << status;
    if (took > slowest) {
      slowest = took;
      what = name;
    }
  };
  int rounds = 0;
  for (; steady_clock::now() < until; ++rounds) {
    at_once("health", [&] { return client_->Health(); });
    at_once("list", [&] { return client_->List().status(); });
    at_once("list with a filter", [&] {
      JobQuery query;
      query.filter = "state = RUNNING";
      return client_->List(query).status();
    });
    at_once("get", [&] { return client_->Get(job->name).status(); });
    at_once("workers", [&] { return client_->Workers().status(); });
    at_once("watch", [&]() -> absl::Status {
      grpc::ClientContext context;
      Authorize(context, kHeld);
      v1::WatchJobRequest request;
      request.set_name(job->name);
      const auto stream = merges_->WatchJob(&context, request);
      v1::Job seen;
      if (!stream->Read(&seen)) return absl::UnavailableError("no message");
      context.TryCancel();
      while (stream->Read(&seen)) {
      }
      stream->Finish();
      return absl::OkStatus();
    });
    // It has nothing to record, and is told that there is nothing to do.
    at_once("a heartbeat", [&]() -> absl::Status {
      v1::SyncResponse beat;
      const grpc::Status status = Sync("idle", kHeld, 0, nullptr, beat);
      return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                          status.error_message());
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_GT(rounds, 3);
  EXPECT_LT(slowest, kAtOnce) << what;
  EXPECT_FALSE(submitted);

  disk_.Answer();
  submits.join();
  reports.join();
  // Its result was not taken while it could not be recorded: it reports it again.
  EXPECT_TRUE(reported.ok()) << reported.error_message();
  EXPECT_EQ(taken.acknowledged_size(), 0);
  EXPECT_TRUE(Sync("busy", kHeld, 0, &done, taken).ok());
  EXPECT_EQ(taken.acknowledged_size(), 1);
  EXPECT_EQ(client_->Get(job->name)->progress.units_done, 1u);
}

}  // namespace
}  // namespace merganser
