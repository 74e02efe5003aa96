#include "coordinator/service/health.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "coordinator/front/limits.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "proto/convert/status_codec.h"
#include "tests/coordinator/service/service_fixture.h"

namespace merganser {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

class HealthTest : public ServiceTest {
 protected:
  // A stream of one service's states.
  struct Watch {
    Watch(Health::Stub& stub, const std::string& service) {
      HealthCheckRequest request;
      request.set_service(service);
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
      stream = stub.Watch(&context, request);
    }
    // The next state, or a number that is none.
    int Next() { return stream->Read(&response) ? response.status() : -1; }

    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<HealthCheckResponse>> stream;
    HealthCheckResponse response;
  };

  void SetUp() override {
    ServiceTest::SetUp();
    stub_ = Health::NewStub(
        grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials()));
  }
  absl::Status Check(const std::string& service, int* state) {
    grpc::ClientContext context;
    HealthCheckRequest request;
    request.set_service(service);
    HealthCheckResponse response;
    const absl::Status status = FromGrpc(stub_->Check(&context, request, &response));
    *state = response.status();
    return status;
  }

  std::unique_ptr<Health::Stub> stub_;
};

TEST_F(HealthTest, EveryServiceIsKnownByItsName) {
  for (const char* service :
       {"", "merganser.v1.MergeService", "merganser.v1.WorkerService", "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}) {
    int state = -1;
    const absl::Status status = Check(service, &state);
    EXPECT_TRUE(status.ok()) << service << ": " << status;
    EXPECT_EQ(state, HealthCheckResponse::SERVING) << service;
  }
  int state = -1;
  const absl::Status status = Check("merganser.v2.MergeService", &state);
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_EQ(ReasonOf(status), "SERVICE_UNKNOWN");
}

TEST_F(HealthTest, WatchersAreToldWhenTheServerGoes) {
  Watch whole(*stub_, "");
  Watch merges(*stub_, "merganser.v1.MergeService");
  Watch unknown(*stub_, "no.such.Service");
  EXPECT_EQ(whole.Next(), HealthCheckResponse::SERVING);
  EXPECT_EQ(merges.Next(), HealthCheckResponse::SERVING);
  EXPECT_EQ(unknown.Next(), HealthCheckResponse::SERVICE_UNKNOWN);
  server_.reset();
  EXPECT_EQ(whole.Next(), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(merges.Next(), HealthCheckResponse::NOT_SERVING);
  for (Watch* watch : {&whole, &merges, &unknown}) {
    EXPECT_EQ(watch->Next(), -1);
    EXPECT_TRUE(watch->stream->Finish().ok());
  }
}

// A health service alone: without the front, that bounds the streams of a connection and of a
// peer.
class HealthAloneTest : public HealthTest {
 protected:
  void SetUp() override {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    alone_ = builder.BuildAndStart();
    ASSERT_NE(alone_, nullptr);
    stub_ = Health::NewStub(grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                                grpc::InsecureChannelCredentials()));
    service_.SetServing(true);
  }
  void TearDown() override {
    service_.Shutdown();
    alone_->Shutdown(std::chrono::system_clock::now());
    alone_->Wait();
  }

  std::atomic<bool> full_{false};
  HealthService service_{{"a"}, [this] { return full_.load(); }};
  std::unique_ptr<grpc::Server> alone_;
};

TEST_F(HealthAloneTest, WatchersAreCounted) {
  const front::CallLimits strangers = front::FrameLimits().strangers;
  EXPECT_EQ(strangers.streams_of_all, kMaxHealthWatchers);
  EXPECT_LE(strangers.streams_of_peer, kMaxHealthWatchers / 2);
  std::vector<std::unique_ptr<Watch>> watches;
  for (size_t i = 0; i < kMaxHealthWatchers; ++i) {
    watches.push_back(std::make_unique<Watch>(*stub_, ""));
    ASSERT_EQ(watches.back()->Next(), HealthCheckResponse::SERVING);
  }
  Watch more(*stub_, "");
  EXPECT_EQ(more.Next(), -1);
  EXPECT_EQ(ReasonOf(FromGrpc(more.stream->Finish())), "TOO_MANY_WATCHERS");
  int state = -1;
  EXPECT_TRUE(Check("", &state).ok());
  watches.front()->context.TryCancel();
  watches.erase(watches.begin());
  int seen = -1;
  for (int tries = 0; tries < 200 && seen < 0; ++tries) {
    Watch next(*stub_, "");
    seen = next.Next();
    if (seen < 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(seen, HealthCheckResponse::SERVING);
}

TEST_F(HealthAloneTest, AServerWithoutAPlaceForCallsDoesNotServe) {
  int state = -1;
  EXPECT_TRUE(Check("a", &state).ok());
  EXPECT_EQ(state, HealthCheckResponse::SERVING);
  full_ = true;
  for (const char* service : {"", "a"}) {
    EXPECT_TRUE(Check(service, &state).ok());
    EXPECT_EQ(state, HealthCheckResponse::NOT_SERVING);
  }
  full_ = false;
  EXPECT_TRUE(Check("a", &state).ok());
  EXPECT_EQ(state, HealthCheckResponse::SERVING);
}

// Clients come and go while the state changes: for ThreadSanitizer and AddressSanitizer.
TEST(HealthService, StatesChangeWhileClientsComeAndGo) {
  HealthService service({"a"});
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);
  const auto stub = Health::NewStub(
      grpc::CreateChannel("127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials()));
  for (int round = 0; round < 50; ++round) {
    grpc::ClientContext contexts[4];
    std::unique_ptr<grpc::ClientReader<HealthCheckResponse>> streams[4];
    HealthCheckRequest request;
    request.set_service("a");
    for (int i = 0; i < 4; ++i) streams[i] = stub->Watch(&contexts[i], request);
    service.SetServing(round % 2 == 0);
    HealthCheckResponse response;
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(streams[i]->Read(&response));
    for (int i = 0; i < 4; i += 2) contexts[i].TryCancel();
    service.SetServing(round % 3 == 0);
    for (int i = 1; i < 4; i += 2) contexts[i].TryCancel();
    for (const auto& stream : streams) {
      while (stream->Read(&response)) {
      }
      EXPECT_FALSE(stream->Finish().ok());
    }
  }
  service.Shutdown();
  server->Shutdown();
  server->Wait();
}

}  // namespace
}  // namespace merganser
