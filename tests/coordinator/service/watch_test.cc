// Watching where the coordinator has no room for it, or is not there.
#include <memory>
#include <string>
#include <vector>

#include "coordinator/service/merge_service.h"
#include "coordinator/service/server.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "proto/merganser/v1/merge_service.grpc.pb.h"
#include "tests/coordinator/service/service_fixture.h"
#include "tests/testing/fault_job_store.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Streams of a job that take every seat there is.
class Audience {
 public:
  Audience(const std::string& address, const std::string& job, int seats)
      : stub_(v1::MergeService::NewStub(
            grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))) {
    v1::WatchJobRequest request;
    request.set_name(job);
    for (int i = 0; i < seats; ++i) {
      Stream& stream = *streams_.emplace_back(std::make_unique<Stream>());
      stream.context.AddMetadata("authorization", "Bearer the-token-of-the-fixture");
      stream.reader = stub_->WatchJob(&stream.context, request);
      v1::Job seen;
      EXPECT_TRUE(stream.reader->Read(&seen));
    }
  }
  ~Audience() {
    for (const auto& stream : streams_) stream->context.TryCancel();
  }

 private:
  struct Stream {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::Job>> reader;
  };
  std::unique_ptr<v1::MergeService::Stub> stub_;
  std::vector<std::unique_ptr<Stream>> streams_;
};

// As a stream shows it.
JobInfo Plain(JobInfo job) {
  job.request.recipe.clear();
  return job;
}

WatchPatience Patience(std::vector<std::string>* notices = nullptr) {
  WatchPatience patience;
  patience.limit = std::chrono::minutes(5);
  patience.pause = std::chrono::milliseconds(10);
  if (notices != nullptr) {
    patience.notice = [notices](const std::string& line) { notices->push_back(line); };
  }
  return patience;
}

TEST_F(ServiceTest, WhoFindsNoSeatPolls) {
  const auto job = client_->Submit(ValidRequest());
  ASSERT_TRUE(job.ok()) << job.status();
  AwaitState(server_->jobs(), job->name, JobState::kRunning);
  const Audience audience(server_->address(), job->name, kWatchers / 2);
  for (const bool accepted : {true, false}) {
    int calls = 0;
    std::vector<std::string> notices;
    const auto last = client_->Watch(
        job->name,
        [&](const JobInfo& now) {
          EXPECT_TRUE(now.request.recipe.empty() && now.events.empty());
          return ++calls < 3;
        },
        Patience(&notices), accepted ? std::optional<JobInfo>(Plain(*job)) : std::nullopt);
    ASSERT_TRUE(last.ok()) << last.status();
    EXPECT_EQ(last->state, JobState::kRunning);
    EXPECT_THAT(notices, ElementsAre());
  }
  bool cancelled = false;
  const auto last = client_->Watch(
      job->name,
      [&](const JobInfo&) {
        if (!cancelled) {
          EXPECT_TRUE(client_->Cancel(job->name).ok());
        }
        return cancelled = true;
      },
      Patience(), *job);
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_EQ(last->state, JobState::kCancelled);
}

TEST_F(ServiceTest, WhatWasAcceptedIsFollowedThoughTheCoordinatorIsAway) {
  FaultJobStore durable(store_, /*seed=*/3);
  ServerOptions options;
  options.jobs = QuickOptions();
  options.security.token = Token().token;
  auto server = Server::Start(options, SystemClock(), durable, storage_.Runs());
  ASSERT_TRUE(server.ok()) << server.status();
  options.listen = (*server)->address();
  MergeClient client(options.listen, Token());
  const auto job = client.Submit(ValidRequest());
  ASSERT_TRUE(job.ok()) << job.status();
  AwaitState((*server)->jobs(), job->name, JobState::kRunning);
  server->reset();
  EXPECT_TRUE(
      absl::IsUnavailable(client
                              .Watch(
                                  job->name, [](const JobInfo&) { return true; }, Patience())
                              .status()));

  std::vector<std::string> notices;
  const auto last = client.Watch(
      job->name,
      [&](const JobInfo& now) {
        EXPECT_EQ(now.name, job->name);
        if (*server == nullptr) {
          server = Server::Start(options, SystemClock(), durable, storage_.Runs());
          EXPECT_TRUE(server.ok()) << server.status();
        }
        return notices.size() < 2;
      },
      Patience(&notices), *job);
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_FALSE(IsTerminal(last->state));
  EXPECT_THAT(notices, ElementsAre(HasSubstr("went away"), HasSubstr("is back")));
}

}  // namespace
}  // namespace merganser
