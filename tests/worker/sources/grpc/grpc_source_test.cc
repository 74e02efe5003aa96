#include "worker/sources/grpc/grpc_source.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/storage/stores.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/convert/status_codec.h"
#include "tests/testing/fault_store.h"
#include "tests/worker/sources/grpc/fake_coordinator.h"

namespace merganser {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

class GrpcSource : public ::testing::Test {
 protected:
  void SetUp() override {
    // Real planned writes, because sources flush them.
    uri_ = absl::StrCat("memory://grpc-source-",
                        ::testing::UnitTest::GetInstance()->current_test_info()->name());
    coordinator_ = std::make_unique<FakeCoordinator>(uri_);
    const auto store = Stores().Open(uri_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *store;
  }
  void TearDown() override {
    source_.reset();
    coordinator_.reset();
  }

  void Start(int threads = 1) { StartAt(coordinator_->address(), threads); }

  void StartAt(const std::string& address, int threads = 1, GrpcSourceOptions options = {}) {
    options.coordinator = address;
    options.goodbye_timeout = milliseconds(20);
    options.worker = "w";
    options.threads = threads;
    options.memory = 1000;
    options.simd = "AVX2";
    options.min_backoff = milliseconds(5);
    options.max_backoff = milliseconds(50);
    source_ = std::make_unique<GrpcUnitSource>(options);
  }

  // Every call that wants units gets the next ones, up to `count` in all.
  void Lease(uint32_t count) {
    coordinator_->Handle([this, count](const v1::SyncRequest& request, v1::SyncResponse& response) {
      for (uint32_t i = 0; i < request.wanted() && leased_ < count; ++i, ++leased_) {
        AddLease(response, leased_, absl::StrCat("t", leased_));
      }
      return absl::OkStatus();
    });
  }

  LeasedUnit Next() {
    auto next = source_->Next();
    EXPECT_TRUE(next.ok()) << next.status();
    EXPECT_TRUE(next.ok() && next->has_value());
    return next.ok() && next->has_value() ? **next : LeasedUnit();
  }

  static bool Holds(const v1::SyncRequest& request, const std::string& token) {
    for (const auto& unit : request.in_flight()) {
      if (unit.token() == token) return true;
    }
    return false;
  }

  // Waits until a call that began after now was answered.
  void AwaitAnotherRound() {
    const size_t before = coordinator_->calls();
    uint64_t seen = 0;
    coordinator_->Await([&](const v1::SyncRequest&) { return ++seen > before + 1; });
  }

  UnitResult Result(uint32_t unit) {
    UnitResult result;
    result.unit = unit;
    result.segment_digests = {std::string(32, 'a')};
    return result;
  }

  std::string uri_;
  std::shared_ptr<ObjectStore> store_;
  uint32_t leased_ = 0;  // touched by the handler alone
  std::unique_ptr<FakeCoordinator> coordinator_;
  std::unique_ptr<GrpcUnitSource> source_;
};

TEST_F(GrpcSource, SaysWhoItIsAndHowManyUnitsItWants) {
  Start(/*threads=*/3);
  const v1::SyncRequest first = coordinator_->Await([](const auto&) { return true; });
  EXPECT_EQ(first.worker(), "w");
  EXPECT_EQ(first.epoch(), 0u);
  EXPECT_EQ(first.threads(), 3u);
  EXPECT_EQ(first.memory_bytes(), 1000u);
  EXPECT_EQ(first.simd(), "AVX2");
  EXPECT_EQ(first.numerics_version(), kNumericsVersion);
  EXPECT_EQ(first.wanted(), 4u);
  EXPECT_FALSE(first.draining());
  coordinator_->Await([&](const v1::SyncRequest& request) {
    return request.epoch() == 1 && request.sequence() > first.sequence();
  });
}

TEST_F(GrpcSource, LeaseBecomesAUnitOfItsPlan) {
  Lease(2);
  Start();
  const LeasedUnit a = Next();
  const LeasedUnit b = Next();
  EXPECT_EQ(a.token, "t0");
  EXPECT_EQ(b.unit, 1u);
  EXPECT_EQ(a.job, b.job);  // fetched once
  EXPECT_EQ(a.job->job, "jobs/job");
  EXPECT_EQ(a.job->plan.units.size(), 4u);
  ASSERT_EQ(a.job->writes.size(), 1u);
  EXPECT_NE(a.job->output, nullptr);
}

// What no message can carry would be sent, and refused, for ever.
TEST_F(GrpcSource, AResultThatNoMessageTakesIsAFailure) {
  Lease(2);
  const auto write = store_->BeginWrite({"model.safetensors", 400}, "job");
  ASSERT_TRUE(write.ok());
  Start();
  const auto complete = [&](LeasedUnit unit, UnitResult result) {
    auto context = std::make_shared<JobContext>(*unit.job);
    context->writes = {*write};
    unit.job = context;
    source_->Complete(unit, std::move(result));
  };
  const LeasedUnit large = Next();
  const LeasedUnit small = Next();
  UnitResult result = Result(large.unit);
  result.leaves.push_back({0, 0, {{"row", std::vector<double>((size_t{70} << 20) / 8, 0.5)}}, 0});
  complete(large, std::move(result));
  complete(small, Result(small.unit));
  const v1::SyncRequest failed = coordinator_->Await(
      [](const v1::SyncRequest& request) { return request.failed_size() == 1; });
  EXPECT_EQ(failed.failed(0).token(), large.token);
  EXPECT_EQ(failed.failed(0).code(), static_cast<int>(absl::StatusCode::kInternal));
  EXPECT_THAT(failed.failed(0).message(), HasSubstr("its result takes 70.0 MiB"));
  coordinator_->Await([](const v1::SyncRequest& request) { return request.completed_size() == 1; });
}

TEST_F(GrpcSource, ProgressTravels) {
  Lease(1);
  Start();
  const LeasedUnit unit = Next();
  EXPECT_TRUE(source_->Progress(unit, 40));
  EXPECT_TRUE(source_->Progress(unit, 2));
  const v1::SyncRequest request = coordinator_->Await([](const v1::SyncRequest& r) {
    return r.in_flight_size() == 1 && r.in_flight(0).bytes_done() == 42;
  });
  EXPECT_EQ(request.in_flight(0).token(), "t0");
  EXPECT_EQ(request.in_flight(0).work(), 2u);
}

TEST_F(GrpcSource, FailuresTravelUntilAcknowledged) {
  Lease(1);
  Start();
  const LeasedUnit unit = Next();
  source_->Fail(unit, absl::DataLossError("torn\nfile"));
  const v1::SyncRequest request =
      coordinator_->Await([](const v1::SyncRequest& r) { return r.failed_size() == 1; });
  EXPECT_EQ(request.failed(0).token(), "t0");
  EXPECT_EQ(request.failed(0).job_uid(), "job");
  EXPECT_EQ(request.failed(0).code(), static_cast<int>(absl::StatusCode::kDataLoss));
  EXPECT_EQ(request.failed(0).message().find('\n'), std::string::npos);
  AwaitAnotherRound();
  EXPECT_FALSE(source_->Progress(unit, 1));
}

TEST_F(GrpcSource, WrittenButNotDurableIsAFailure) {
  // The output was never begun, so that its flush fails.
  Lease(1);
  Start();
  const LeasedUnit unit = Next();
  source_->Complete(unit, Result(0));
  const v1::SyncRequest request = coordinator_->Await(
      [](const v1::SyncRequest& r) { return r.failed_size() + r.completed_size() == 1; });
  EXPECT_EQ(request.failed_size(), 1);
}

// What a unit had written when a flush failed may be lost, and the next flush does not tell.
TEST_F(GrpcSource, AFlushThatFailsFailsUnitsInFlightToo) {
  Lease(3);
  const auto write = store_->BeginWrite({"model.safetensors", 400}, "job");
  ASSERT_TRUE(write.ok());
  const auto faulty = std::make_shared<FaultStore>(store_, /*seed=*/1);
  faulty->AddRule({.op = StoreOp::kFlushWrite, .status = absl::UnavailableError("quota")});
  Start();
  const auto complete = [&](LeasedUnit unit) {
    auto context = std::make_shared<JobContext>();
    context->job = unit.job->job;
    context->uid = unit.job->uid;
    context->plan = unit.job->plan;
    context->output = faulty;
    context->writes = {*write};
    unit.job = context;
    source_->Complete(unit, Result(unit.unit));
  };
  const auto failed = [](const v1::SyncRequest& request, const std::string& token) {
    return std::any_of(request.failed().begin(), request.failed().end(),
                       [&](const auto& one) { return one.token() == token; });
  };
  const LeasedUnit first = Next(), second = Next();
  complete(first);
  coordinator_->Await([&](const v1::SyncRequest& request) { return failed(request, "t0"); });
  const LeasedUnit third = Next();
  complete(second);
  coordinator_->Await([&](const v1::SyncRequest& request) { return failed(request, "t1"); });
  EXPECT_EQ(faulty->Faults(StoreOp::kFlushWrite), 1u);
  // It began afterwards: all that it wrote is in what was flushed.
  complete(third);
  coordinator_->Await([&](const v1::SyncRequest& request) {
    EXPECT_FALSE(failed(request, "t2"));
    return std::any_of(request.completed().begin(), request.completed().end(),
                       [](const auto& one) { return one.token() == "t2"; });
  });
}

TEST_F(GrpcSource, ResultsAreRepeatedUntilAnAnswerArrives) {
  std::atomic<int> refused = 0;  // counted on a thread of the server
  coordinator_->Handle([&](const v1::SyncRequest& request, v1::SyncResponse& response) {
    if (request.completed_size() > 0 && ++refused <= 3) {
      return absl::UnavailableError("the answer is lost");
    }
    if (request.sequence() == 1) AddLease(response, 0, "t0");
    return absl::OkStatus();
  });
  const auto write = store_->BeginWrite({"model.safetensors", 400}, "job");
  ASSERT_TRUE(write.ok());
  coordinator_->SetJob("job");
  Start();
  LeasedUnit unit = Next();
  // The write that this store made, in place of the one that the plan invents.
  auto context = std::make_shared<JobContext>();
  context->job = unit.job->job;
  context->plan = unit.job->plan;
  context->output = store_;
  context->writes = {*write};
  unit.job = context;
  source_->Complete(unit, Result(0));
  const absl::Status finished = source_->Finish(seconds(60));
  EXPECT_TRUE(finished.ok()) << finished;
  EXPECT_EQ(refused, 4);
}

TEST_F(GrpcSource, ASlowDiskHoldsBackFurtherUnits) {
  Lease(4);
  const auto write = store_->BeginWrite({"model.safetensors", 400}, "job");
  ASSERT_TRUE(write.ok());
  const auto slow = std::make_shared<FaultStore>(store_, /*seed=*/1);
  slow->Hold(StoreOp::kFlushWrite);
  GrpcSourceOptions options;
  options.max_undelivered = 2;
  StartAt(coordinator_->address(), /*threads=*/1, options);
  const auto complete = [&](LeasedUnit unit) {
    auto context = std::make_shared<JobContext>();
    context->job = unit.job->job;
    context->plan = unit.job->plan;
    context->output = slow;
    context->writes = {*write};
    unit.job = context;
    source_->Complete(unit, Result(unit.unit));
  };
  for (int i = 0; i < 2; ++i) complete(Next());
  // Two written and not durable: whoever asks for a third waits, and no more are wanted.
  auto third = std::async(std::launch::async, [this] { return Next(); });
  coordinator_->Await([](const v1::SyncRequest& request) {
    return request.in_flight_size() >= 2 && request.wanted() == 0;
  });
  EXPECT_EQ(third.wait_for(milliseconds(50)), std::future_status::timeout);
  slow->Release();
  complete(third.get());
  complete(Next());
  const absl::Status finished = source_->Finish(seconds(60));
  EXPECT_TRUE(finished.ok()) << finished;
}

TEST_F(GrpcSource, RevokedUnitIsDropped) {
  coordinator_->Handle([](const v1::SyncRequest& request, v1::SyncResponse& response) {
    if (request.sequence() == 1) AddLease(response, 0, "t0");
    if (request.in_flight_size() > 0 && request.in_flight(0).bytes_done() == 10) {
      response.add_revoked("t0");
    }
    return absl::OkStatus();
  });
  Start();
  const LeasedUnit unit = Next();
  EXPECT_TRUE(source_->Progress(unit, 10));
  coordinator_->Await(
      [](const v1::SyncRequest& r) { return r.in_flight_size() == 0 && r.sequence() > 2; });
  EXPECT_FALSE(source_->Progress(unit, 10));
  source_->Complete(unit, Result(0));  // too late: without effect
  EXPECT_TRUE(source_->Finish(seconds(60)).ok());
}

TEST_F(GrpcSource, KeepsItsUnitsWhileTheCoordinatorIsAway) {
  Lease(1);
  Start();
  const LeasedUnit unit = Next();
  const int port = coordinator_->port();
  coordinator_.reset();
  EXPECT_TRUE(source_->Progress(unit, 7));
  coordinator_ = std::make_unique<FakeCoordinator>(uri_, port);
  // What it was about to say when the coordinator went away may come first.
  const v1::SyncRequest request = coordinator_->Await([](const v1::SyncRequest& r) {
    return r.in_flight_size() == 1 && r.in_flight(0).bytes_done() == 7;
  });
  EXPECT_EQ(request.in_flight(0).token(), "t0");
  EXPECT_EQ(request.epoch(), 1u);
  EXPECT_TRUE(source_->Progress(unit, 1));
}

TEST_F(GrpcSource, HigherEpochDropsOldLeases) {
  Lease(1);
  Start();
  const LeasedUnit unit = Next();
  coordinator_->SetEpoch(2);
  coordinator_->Await([](const v1::SyncRequest& r) { return r.epoch() == 2; });
  EXPECT_FALSE(source_->Progress(unit, 1));
}

TEST_F(GrpcSource, OlderEpochIsIgnored) {
  coordinator_->SetEpoch(5);
  Lease(1);
  Start();
  const LeasedUnit unit = Next();
  coordinator_->Handle([](const v1::SyncRequest&, v1::SyncResponse& response) {
    response.set_epoch(4);
    response.add_revoked("t0");
    return absl::OkStatus();
  });
  AwaitAnotherRound();
  AwaitAnotherRound();
  EXPECT_TRUE(source_->Progress(unit, 1));
}

TEST_F(GrpcSource, StopHandsBackWhatWasNotStartedAndKeepsTheRest) {
  Lease(4);
  Start(/*threads=*/1);  // one unit and two more beside it
  const LeasedUnit unit = Next();
  coordinator_->Await([](const v1::SyncRequest& r) { return r.in_flight_size() == 3; });
  source_->Stop();
  const auto next = source_->Next();
  ASSERT_TRUE(next.ok());
  EXPECT_FALSE(next->has_value());
  const v1::SyncRequest request =
      coordinator_->Await([](const v1::SyncRequest& r) { return r.returned_size() > 0; });
  EXPECT_TRUE(request.draining());
  EXPECT_EQ(request.wanted(), 0u);
  EXPECT_EQ(request.returned_size(), 2);
  EXPECT_TRUE(Holds(request, "t0"));
  EXPECT_TRUE(source_->Progress(unit, 1));
  source_->Fail(unit, absl::UnavailableError("done with"));
  EXPECT_TRUE(source_->Finish(seconds(60)).ok());
}

TEST_F(GrpcSource, StopWakesWhoWaitsInNext) {
  Start();
  std::thread runner([&] {
    const auto next = source_->Next();
    EXPECT_TRUE(next.ok() && !next->has_value());
  });
  coordinator_->Await([](const auto&) { return true; });
  source_->Stop();
  runner.join();
}

TEST_F(GrpcSource, FinishWithoutACoordinatorSaysWhatIsLost) {
  Lease(1);
  Start();
  const LeasedUnit unit = Next();
  coordinator_.reset();
  source_->Fail(unit, absl::UnavailableError("x"));
  const absl::Status status = source_->Finish(milliseconds(20));
  EXPECT_TRUE(absl::IsUnavailable(status));  // a retry may help
  EXPECT_THAT(std::string(status.message()), HasSubstr("1 unit could not be reported"));
}

// Finish once waited its whole timeout for a goodbye that nobody answered.
TEST_F(GrpcSource, WithNothingToReportItLeavesThoughTheCoordinatorIsGone) {
  Start();
  coordinator_->Await([](const auto&) { return true; });
  coordinator_.reset();
  source_->Stop();
  const auto next = source_->Next();
  EXPECT_TRUE(next.ok() && !next->has_value());
  EXPECT_TRUE(source_->Finish(std::chrono::hours(1)).ok());
}

TEST_F(GrpcSource, LeasesThatWereNotStartedKeepNobodyWaiting) {
  Lease(3);
  Start();
  coordinator_->Await([](const v1::SyncRequest& r) { return r.in_flight_size() == 2; });
  coordinator_.reset();
  EXPECT_TRUE(source_->Finish(std::chrono::hours(1)).ok());
}

TEST_F(GrpcSource, LeavesThoughTheCoordinatorNeverAnswers) {
  // Connections are made by the kernel; nobody reads from them.
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_GE(listener, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(bind(listener, generic, size), 0);
  ASSERT_EQ(listen(listener, 8), 0);
  ASSERT_EQ(getsockname(listener, generic, &size), 0);
  StartAt(absl::StrCat("127.0.0.1:", ntohs(address.sin_port)));
  source_->Stop();
  const auto next = source_->Next();
  EXPECT_TRUE(next.ok() && !next->has_value());
  EXPECT_TRUE(source_->Finish(std::chrono::hours(1)).ok());
  close(listener);
}

TEST_F(GrpcSource, EndOfAUnitInFlightIsDeliveredWhenTheCoordinatorIsBack) {
  Lease(1);
  Start();
  const LeasedUnit unit = Next();
  const int port = coordinator_->port();
  coordinator_.reset();
  source_->Stop();
  EXPECT_TRUE(source_->Progress(unit, 1));
  source_->Fail(unit, absl::DataLossError("torn"));
  absl::Status finished;
  std::thread finisher([&] { finished = source_->Finish(std::chrono::hours(1)); });
  coordinator_ = std::make_unique<FakeCoordinator>(uri_, port);
  finisher.join();
  EXPECT_TRUE(finished.ok()) << finished;
  const v1::SyncRequest request =
      coordinator_->Await([](const v1::SyncRequest& r) { return r.failed_size() == 1; });
  EXPECT_EQ(request.failed(0).token(), "t0");
  EXPECT_TRUE(request.draining());
}

TEST_F(GrpcSource, JobThatIsOverBeforeItsPlanCameIsDropped) {
  coordinator_->SetJob("other");
  coordinator_->Handle([](const v1::SyncRequest& request, v1::SyncResponse& response) {
    if (request.sequence() == 1) AddLease(response, 0, "gone", "job");
    if (request.sequence() == 2) AddLease(response, 1, "alive", "other");
    return absl::OkStatus();
  });
  Start();
  EXPECT_EQ(Next().token, "alive");
  coordinator_->Await(
      [](const v1::SyncRequest& r) { return Holds(r, "alive") && !Holds(r, "gone"); });
}

TEST_F(GrpcSource, RefusalForGoodEndsTheRun) {
  coordinator_->Handle([](const v1::SyncRequest&, v1::SyncResponse&) {
    return absl::FailedPreconditionError("numerics version 2, expected 1");
  });
  Start();
  const auto next = source_->Next();
  EXPECT_TRUE(absl::IsFailedPrecondition(next.status()));
  EXPECT_THAT(std::string(next.status().message()), HasSubstr("numerics version"));
  EXPECT_TRUE(absl::IsFailedPrecondition(source_->Finish(seconds(60))));
}

TEST_F(GrpcSource, ATokenThatWasNeverTakenEndsTheRun) {
  coordinator_->Handle([](const v1::SyncRequest&, v1::SyncResponse&) {
    return absl::UnauthenticatedError("a token that is none of these");
  });
  Start();
  const absl::Status status = source_->Next().status();
  EXPECT_TRUE(absl::IsUnauthenticated(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("--token-file"));
}

TEST_F(GrpcSource, AWorkerThatWasLetInOutlivesTokensThatAreChanged) {
  coordinator_->Handle([calls = 0](const v1::SyncRequest&, v1::SyncResponse& response) mutable {
    ++calls;
    if (calls == 2) return absl::UnauthenticatedError("a token that is none of these");
    if (calls == 3) return absl::PermissionDeniedError("a token without the role");
    if (calls == 4) AddLease(response, 0, "t");
    return absl::OkStatus();
  });
  Start();
  EXPECT_EQ(Next().unit, 0u);
}

TEST_F(GrpcSource, AJobOutsideOfTheWorkersRootsFailsAndNothingIsOpened) {
  GrpcSourceOptions options;
  const auto roots = AllowedRoots::Make({"memory://elsewhere"}, "/", "the worker");
  ASSERT_TRUE(roots.ok()) << roots.status();
  options.stores = Stores(*roots);
  Lease(1);
  StartAt(coordinator_->address(), 1, options);
  std::thread runner([this] { EXPECT_FALSE(source_->Next()->has_value()); });
  const v1::SyncRequest request =
      coordinator_->Await([](const v1::SyncRequest& r) { return r.failed_size() > 0; });
  source_->Stop();
  runner.join();
  EXPECT_EQ(request.failed(0).code(), static_cast<int>(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(request.failed(0).message(), HasSubstr("the worker allows (memory://elsewhere)"));
}

TEST(WorkerName, IsUniqueAndPrintable) {
  const std::string a = MakeWorkerName();
  EXPECT_NE(a, MakeWorkerName());
  for (const char c : a) EXPECT_TRUE(c > 0x20 && c < 0x7f) << a;
}

}  // namespace
}  // namespace merganser
