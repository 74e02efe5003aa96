// How jobs go and who works on them, as users are told over gRPC.
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "coordinator/service/server.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "proto/convert/status_codec.h"
#include "proto/merganser/v1/merge_service.grpc.pb.h"
#include "tests/coordinator/service/service_fixture.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class StoryTest : public ServiceTest {
 protected:
  // Calls an rpc of the running server.
  template <class Request, class Response>
  absl::Status Ask(grpc::Status (v1::MergeService::StubInterface::*method)(grpc::ClientContext*,
                                                                           const Request&,
                                                                           Response*),
                   const Request& request, Response& response) {
    const std::unique_ptr<v1::MergeService::StubInterface> stub = v1::MergeService::NewStub(
        grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    Authorize(context);
    return FromGrpc((stub.get()->*method)(&context, request, &response));
  }

  v1::JobActivity Activity(const std::string& job) {
    v1::GetJobActivityRequest request;
    request.set_name(job);
    v1::JobActivity activity;
    const absl::Status status =
        Ask(&v1::MergeService::StubInterface::GetJobActivity, request, activity);
    EXPECT_TRUE(status.ok()) << status;
    return activity;
  }

  v1::ListWorkersResponse Workers(int page_size = 0, const std::string& token = "") {
    v1::ListWorkersRequest request;
    request.set_page_size(page_size);
    request.set_page_token(token);
    v1::ListWorkersResponse response;
    const absl::Status status =
        Ask(&v1::MergeService::StubInterface::ListWorkers, request, response);
    EXPECT_TRUE(status.ok()) << status;
    return response;
  }

  v1::Cluster Cluster() {
    v1::Cluster cluster;
    const absl::Status status =
        Ask(&v1::MergeService::StubInterface::GetCluster, v1::GetClusterRequest(), cluster);
    EXPECT_TRUE(status.ok()) << status;
    return cluster;
  }

  std::string Submit() {
    const auto job = client_->Submit(ValidRequest());
    EXPECT_TRUE(job.ok()) << job.status();
    return job.ok() ? job->name : "";
  }
};

TEST_F(StoryTest, AJobIsToldWhileItRuns) {
  const std::string name = Submit();
  AwaitState(server_->jobs(), name, JobState::kRunning);
  const v1::Lease first = Take("w-1");
  v1::SyncRequest request = From("w-1");
  *request.add_completed() = Done(first, [](UnitResult& result) {
    result.bytes_read = 700;
    result.seconds = 2;
    result.stages.read = 1.5;
  });
  Sync(request);
  const v1::Lease second = Take("w-2");
  const v1::JobActivity activity = Activity(name);
  EXPECT_EQ(activity.name(), name);
  ASSERT_THAT(activity.rounds(), SizeIs(1));
  EXPECT_EQ(activity.rounds(0).units_total(), 3u);
  EXPECT_EQ(activity.rounds(0).units_done(), 1u);
  EXPECT_EQ(activity.rounds(0).bytes_done(), 100u);
  EXPECT_FALSE(activity.rounds(0).analyzes());
  EXPECT_EQ(activity.stages().read(), 1.5);
  ASSERT_THAT(activity.slowest(), SizeIs(1));
  EXPECT_EQ(activity.slowest(0).worker(), "w-1");
  EXPECT_EQ(activity.slowest(0).seconds(), 2);
  ASSERT_THAT(activity.workers(), SizeIs(2));
  EXPECT_EQ(activity.workers(0).name(), "w-1");
  EXPECT_EQ(activity.workers(0).units_done(), 1u);
  EXPECT_EQ(activity.workers(0).bytes_read(), 700u);
  EXPECT_EQ(activity.workers(1).name(), "w-2");
  ASSERT_THAT(activity.workers(1).holds(), SizeIs(1));
  EXPECT_EQ(activity.workers(1).holds(0).unit(), second.unit());
  EXPECT_FALSE(activity.phases().empty());
  EXPECT_EQ(activity.phases(activity.phases_size() - 1).state(), v1::Job::RUNNING);
  EXPECT_FALSE(activity.phases(activity.phases_size() - 1).has_end());
  const auto job = client_->Get(name);
  ASSERT_TRUE(job.ok() && job->pace.has_value());
  EXPECT_EQ(job->pace->diagnosis.kind.empty(), false);
}

TEST_F(StoryTest, HowAJobWentOutlivesItsEndAndTheProcess) {
  const std::string name = Submit();
  EXPECT_EQ(WorkOff("w-1", name).state, JobState::kSucceeded);
  const v1::JobActivity ended = Activity(name);
  ASSERT_THAT(ended.rounds(), SizeIs(1));
  EXPECT_EQ(ended.rounds(0).units_done(), 3u);
  ASSERT_THAT(ended.workers(), SizeIs(1));
  EXPECT_EQ(ended.workers(0).units_done(), 3u);
  EXPECT_EQ(ended.phases(ended.phases_size() - 1).state(), v1::Job::SUCCEEDED);
  StartServer(QuickOptions());
  EXPECT_EQ(Activity(name).SerializeAsString(), ended.SerializeAsString());
}

TEST_F(StoryTest, EventsAreFolded) {
  const std::string name = Submit();
  AwaitState(server_->jobs(), name, JobState::kRunning);
  const v1::Lease lease = Take("w-1");
  v1::SyncRequest request = From("w-1");
  v1::UnitFailure& failure = *request.add_failed();
  failure.set_token(lease.token());
  failure.set_job_uid(lease.job_uid());
  failure.set_unit(lease.unit());
  failure.set_code(static_cast<int>(absl::StatusCode::kUnavailable));
  failure.set_message("the disk is away");
  Sync(request);
  const v1::JobActivity activity = Activity(name);
  ASSERT_FALSE(activity.event_kinds().empty());
  EXPECT_EQ(activity.event_kinds(0).kind(), "UNIT_FAILED");
  EXPECT_EQ(activity.event_kinds(0).count(), 1u);
  EXPECT_FALSE(activity.event_kinds(0).advice().empty());
  EXPECT_EQ(activity.retries(), 1u);
  ASSERT_THAT(Workers().workers(), SizeIs(1));
  EXPECT_EQ(Workers().workers(0).units_failed(), 1u);
  EXPECT_EQ(Workers().workers(0).last_trouble().message(), "the disk is away");
  EXPECT_EQ(Workers().workers(0).last_trouble().job(), name);
}

TEST_F(StoryTest, WorkersAreListedByNameInPages) {
  EXPECT_THAT(Workers().workers(), IsEmpty());
  for (const std::string name : {"b", "c", "a"}) {
    v1::SyncRequest request = From(name);
    request.set_host("node-" + name);
    request.set_version("merganser 0.1.0");
    Sync(request);
  }
  const v1::ListWorkersResponse first = Workers(2);
  ASSERT_THAT(first.workers(), SizeIs(2));
  EXPECT_EQ(first.workers(0).name(), "a");
  EXPECT_EQ(first.workers(0).host(), "node-a");
  EXPECT_EQ(first.workers(0).version(), "merganser 0.1.0");
  EXPECT_EQ(first.workers(0).state(), v1::Worker::ALIVE);
  EXPECT_EQ(first.total_size(), 3);
  const v1::ListWorkersResponse last = Workers(2, first.next_page_token());
  ASSERT_THAT(last.workers(), SizeIs(1));
  EXPECT_EQ(last.workers(0).name(), "c");
  EXPECT_EQ(last.next_page_token(), "");
}

TEST_F(StoryTest, TheClusterIsCounted) {
  const std::string name = Submit();
  AwaitState(server_->jobs(), name, JobState::kRunning);
  Sync(From("w-1"));
  const v1::Cluster cluster = Cluster();
  EXPECT_EQ(cluster.jobs().at("RUNNING"), 1u);
  EXPECT_EQ(cluster.jobs().at("QUEUED"), 0u);
  EXPECT_EQ(cluster.workers_alive(), 1u);
  EXPECT_GT(cluster.epoch(), 0u);
  EXPECT_FALSE(cluster.has_oldest_queued());
  EXPECT_EQ(cluster.trouble(), "");
}

TEST_F(StoryTest, APlanIsLookedAtAndNoJobIsMade) {
  v1::PlanJobRequest request;
  request.set_recipe(ValidRequest().recipe);
  request.set_recipe_source("r.yaml");
  request.add_directories("/");
  v1::PlanJobResponse plan;
  ASSERT_TRUE(Ask(&v1::MergeService::StubInterface::PlanJob, request, plan).ok());
  EXPECT_EQ(plan.method(), "linear");
  EXPECT_EQ(plan.units(), 3u);
  EXPECT_EQ(plan.rounds(), 1u);
  EXPECT_THAT(client_->List()->jobs, IsEmpty());

  request.set_page_token("of another plan");
  EXPECT_EQ(ReasonOf(Ask(&v1::MergeService::StubInterface::PlanJob, request, plan)),
            "PAGE_TOKEN_INVALID");
  request.clear_page_token();
  request.set_recipe("merge_method: lineer\nmodels: [/a]\n");
  EXPECT_EQ(ReasonOf(Ask(&v1::MergeService::StubInterface::PlanJob, request, plan)),
            "RECIPE_INVALID");
  request.set_recipe(ValidRequest().recipe);
  storage_.FailPrepare(absl::NotFoundError("no such model"));
  EXPECT_EQ(ReasonOf(Ask(&v1::MergeService::StubInterface::PlanJob, request, plan)),
            "PLAN_REFUSED");
  storage_.FailPrepare(absl::UnavailableError("the share is away"));
  EXPECT_EQ(ReasonOf(Ask(&v1::MergeService::StubInterface::PlanJob, request, plan)), "PLAN_UNSEEN");
}

// Somebody types a recipe, and each letter asks for the plan of another.
TEST_F(StoryTest, AClientThatLeftIsNotPlannedFor) {
  storage_.Close();
  v1::PlanJobRequest request;
  request.set_recipe(ValidRequest().recipe);
  request.set_recipe_source("r.yaml");
  request.add_directories("/");
  v1::PlanJobResponse plan;
  const auto stub = v1::MergeService::NewStub(
      grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext first;
  Authorize(first);
  std::thread leaves([&] {
    v1::PlanJobResponse none;
    EXPECT_EQ(stub->PlanJob(&first, request, &none).error_code(), grpc::StatusCode::CANCELLED);
  });
  const auto reason = [&] {
    return ReasonOf(Ask(&v1::MergeService::StubInterface::PlanJob, request, plan));
  };
  // One at a time of an owner.
  while (storage_.preparing() == 0) std::this_thread::yield();
  EXPECT_EQ(reason(), "TOO_MANY_PLANS");
  first.TryCancel();
  leaves.join();
  // Soon he is asked about nothing but the new one, which waits as the first did.
  grpc::Status second;
  do {
    grpc::ClientContext context;
    Authorize(context);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(500));
    second = stub->PlanJob(&context, request, &plan);
  } while (second.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(second.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << second.error_message();
  EXPECT_EQ(storage_.preparing(), 2);
  storage_.Open();
}

TEST_F(StoryTest, WhoIsNotOnRecordHasNoStory) {
  v1::GetJobActivityRequest request;
  request.set_name("jobs/0123456789abcdef");
  v1::JobActivity activity;
  EXPECT_EQ(ReasonOf(Ask(&v1::MergeService::StubInterface::GetJobActivity, request, activity)),
            "JOB_NOT_FOUND");
}

}  // namespace
}  // namespace merganser
