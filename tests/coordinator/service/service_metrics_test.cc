// What a coordinator counts, over a real port.
#include "coordinator/service/service_metrics.h"

#include <cmath>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/service/call_metrics.h"
#include "coordinator/service/metered_job_store.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "tests/coordinator/service/service_fixture.h"

namespace merganser {
namespace {

using ::testing::IsEmpty;

class ServiceMetricsTest : public ServiceTest {
 protected:
  void SetUp() override {
    JobManagerOptions options = QuickOptions();
    options.metrics = registry_;
    StartServer(options);
  }

  // Of a histogram the number of observations; 0 where there is no such series.
  double Value(std::string_view name, const std::vector<std::string>& labels = {}) {
    for (const MetricFamily& family : registry_->Snapshot()) {
      if (family.name != name) continue;
      for (const MetricSample& sample : family.samples) {
        if (sample.labels != labels) continue;
        double value = sample.value;
        for (const uint64_t count : sample.counts) value += static_cast<double>(count);
        return value;
      }
    }
    return 0;
  }

  const std::shared_ptr<MetricRegistry> registry_ = std::make_shared<MetricRegistry>();
};

TEST_F(ServiceMetricsTest, JobsAreCountedByStateAndEnd) {
  storage_.Close();
  const auto job = client_->Submit(ValidRequest());
  ASSERT_TRUE(job.ok()) << job.status();
  AwaitState(server_->jobs(), job->name, JobState::kPlanning);
  EXPECT_EQ(Value("merganser_jobs", {"planning"}), 1);
  EXPECT_EQ(Value("merganser_jobs", {"queued"}), 0);
  storage_.Open();
  WorkOff("w1", job->name);
  EXPECT_EQ(Value("merganser_jobs", {"planning"}), 0);
  EXPECT_EQ(Value("merganser_jobs", {"succeeded"}), 1);
  EXPECT_EQ(Value("merganser_jobs_ended_total", {"succeeded"}), 1);
  EXPECT_EQ(Value("merganser_jobs_ended_total", {"failed"}), 0);
  EXPECT_THAT(registry_->problems(), IsEmpty());
}

TEST_F(ServiceMetricsTest, TheQueueHasALengthAndAnAge) {
  storage_.Close();
  std::string last;
  // One more than are active.
  for (int i = 0; i <= QuickOptions().active_jobs; ++i) {
    const auto job = client_->Submit(ValidRequest("/out/" + std::to_string(i)));
    ASSERT_TRUE(job.ok()) << job.status();
    last = job->name;
    if (i < QuickOptions().active_jobs) {
      AwaitState(server_->jobs(), last, JobState::kPlanning);
    }
  }
  if (client_->Get(last)->state == JobState::kQueued) {
    EXPECT_EQ(Value("merganser_jobs", {"queued"}), 1);
    EXPECT_GT(Value("merganser_queue_oldest_seconds"), 0);
  }
  ASSERT_TRUE(client_->Cancel(last).ok());
  AwaitEnd(server_->jobs(), last);
  EXPECT_EQ(Value("merganser_queue_oldest_seconds"), 0);
  EXPECT_EQ(Value("merganser_jobs_ended_total", {"cancelled"}), 1);
}

TEST_F(ServiceMetricsTest, UnitsAndWorkersAreCounted) {
  const auto job = client_->Submit(ValidRequest());
  ASSERT_TRUE(job.ok()) << job.status();
  const v1::Lease lease = Take("w");
  EXPECT_EQ(Value("merganser_units", {"leased"}), 1);
  EXPECT_EQ(Value("merganser_units", {"pending"}), 2);
  EXPECT_EQ(Value("merganser_workers"), 1);
  v1::SyncRequest request = From("w");
  *request.add_completed() = Done(lease, [](UnitResult& result) {
    result.bytes_read = 600;
    result.bytes_written = 100;
    result.stages.read = 1.5;
    result.stages.flush = std::nan("");  // a worker may say anything
    result.stages.wait = -3;
  });
  Sync(request);
  EXPECT_EQ(Value("merganser_units", {"done"}), 1);
  EXPECT_EQ(Value("merganser_units_completed_total"), 1);
  EXPECT_EQ(Value("merganser_units_input_bytes_total"), 600);
  EXPECT_EQ(Value("merganser_units_output_bytes_total"), 100);
  EXPECT_DOUBLE_EQ(Value("merganser_units_stage_seconds_total", {"read"}), 1.5);
  EXPECT_EQ(Value("merganser_units_stage_seconds_total", {"flush"}), 0);
  EXPECT_EQ(Value("merganser_units_stage_seconds_total", {"wait"}), 0);
}

TEST_F(ServiceMetricsTest, AUnitThatFailedIsALeaseThatFailed) {
  const auto job = client_->Submit(ValidRequest());
  ASSERT_TRUE(job.ok()) << job.status();
  const v1::Lease lease = Take("w");
  v1::SyncRequest request = From("w");
  v1::UnitFailure& failure = *request.add_failed();
  failure.set_token(lease.token());
  failure.set_job_uid(lease.job_uid());
  failure.set_unit(lease.unit());
  failure.set_code(14);
  Sync(request);
  EXPECT_EQ(Value("merganser_leases_failed_total"), 1);
  EXPECT_EQ(Value("merganser_leases_lost_total"), 0);
}

TEST_F(ServiceMetricsTest, CallsAreCountedByMethodAndCode) {
  EXPECT_TRUE(client_->List().ok());
  EXPECT_FALSE(client_->Get("jobs/none").ok());
  const std::string list = "merganser.v1.MergeService/ListJobs";
  const std::string get = "merganser.v1.MergeService/GetJob";
  EXPECT_EQ(Value("merganser_grpc_requests_total", {list, "OK"}), 1);
  EXPECT_EQ(Value("merganser_grpc_requests_total", {get, "NOT_FOUND"}), 1);
  EXPECT_EQ(Value("merganser_grpc_requests_total", {get, "OK"}), 0);
  EXPECT_EQ(Value("merganser_grpc_request_seconds", {list}), 1);
}

TEST_F(ServiceMetricsTest, ACallThatIsRefusedAtTheDoorIsCountedToo) {
  ChannelSecurity security;
  security.token = "the-token-of-a-stranger";
  MergeClient stranger(server_->address(), security);
  EXPECT_FALSE(stranger.List().ok());
  const std::string list = "merganser.v1.MergeService/ListJobs";
  EXPECT_EQ(Value("merganser_grpc_requests_total", {list, "UNAUTHENTICATED"}), 1);
  EXPECT_EQ(Value("merganser_grpc_request_seconds", {list}), 0);
}

TEST(CallMetrics, MethodsThatAreNotThereGoTogether) {
  const auto registry = std::make_shared<MetricRegistry>();
  const CallMetrics calls(registry);
  EXPECT_EQ(calls.PlaceOf("/no.such.Service/A"), calls.PlaceOf("/"));
  EXPECT_NE(calls.PlaceOf("/merganser.v1.WorkerService/Sync"), calls.PlaceOf("/"));
  calls.Refused(calls.PlaceOf("/no.such.Service/A"), absl::StatusCode::kUnimplemented);
  const MetricFamily family = registry->Snapshot().at(1);
  ASSERT_EQ(family.samples.size(), 1u);
  EXPECT_EQ(family.samples[0].labels, (std::vector<std::string>{"other", "UNIMPLEMENTED"}));
  EXPECT_THAT(registry->problems(), IsEmpty());
}

TEST(MeteredJobStore, AnswersAsTheStoreAndCountsByOutcome) {
  MemoryJobStore store(SystemClock());
  const auto registry = std::make_shared<MetricRegistry>();
  MeteredJobStore metered(store, registry);
  EXPECT_FALSE(metered.durable());
  JobRecord record;
  record.info.uid = "j1";
  ASSERT_TRUE(metered.Save(record).ok());
  ASSERT_EQ(metered.Load()->size(), 1u);
  metered.AddEvents("j1", {StoredEvent{{WallTime(), "hello"}, std::nullopt}});
  EXPECT_EQ(metered.Events("j1")->size(), 1u);
  ASSERT_TRUE(metered.AddResults({{"j1", 0, 0, "bytes", "w", 1, "AVX2"}}).ok());
  EXPECT_EQ(metered.Results("j1")->size(), 1u);
  ASSERT_TRUE(metered.Remove("j1").ok());
  EXPECT_TRUE(store.Load()->empty());
  for (const MetricFamily& family : registry->Snapshot()) {
    if (family.name != "merganser_journal_requests_total") continue;
    std::vector<std::vector<std::string>> labels;
    for (const MetricSample& sample : family.samples) labels.push_back(sample.labels);
    EXPECT_THAT(labels, ::testing::UnorderedElementsAre(::testing::ElementsAre("read", "OK"),
                                                        ::testing::ElementsAre("save", "OK"),
                                                        ::testing::ElementsAre("add_results", "OK"),
                                                        ::testing::ElementsAre("forget", "OK")));
  }
  EXPECT_THAT(registry->problems(), IsEmpty());
}

}  // namespace
}  // namespace merganser
