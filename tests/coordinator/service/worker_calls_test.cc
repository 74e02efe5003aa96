// What workers call, over a real port.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "proto/convert/plan_codec.h"
#include "proto/convert/status_codec.h"
#include "tests/coordinator/service/service_fixture.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class WorkerCalls : public ServiceTest {
 protected:
  std::string Submit() {
    const auto job = client_->Submit(ValidRequest());
    EXPECT_TRUE(job.ok()) << job.status();
    return job.ok() ? job->name : "";
  }
  absl::Status SyncError(const v1::SyncRequest& request) {
    v1::SyncResponse response;
    return FromGrpc(TrySync(request, &response));
  }
};

TEST_F(WorkerCalls, PlanArrivesWhole) {
  const std::string name = Submit();
  const v1::Lease lease = Take("w");
  EXPECT_EQ("jobs/" + lease.job_uid(), name);
  EXPECT_GT(lease.ttl().seconds(), 0);
  grpc::ClientContext context;
  Authorize(context);
  v1::GetJobPlanRequest request;
  request.set_job_uid(lease.job_uid());
  const auto reader = worker_->GetJobPlan(&context, request);
  std::string bytes;
  v1::JobPlanChunk chunk;
  while (reader->Read(&chunk)) bytes += chunk.data();
  ASSERT_TRUE(reader->Finish().ok());
  const auto plan = ParseJobPlan(bytes);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->job, name);
  EXPECT_EQ(plan->output_uri, "/nowhere/out");
  EXPECT_EQ(plan->plan.units.size(), 3u);
  ASSERT_EQ(plan->writes.size(), 1u);
  EXPECT_EQ(plan->writes[0].upload, "upload");
}

TEST_F(WorkerCalls, PlanOfAJobThatIsNotRunningIsNotFound) {
  grpc::ClientContext context;
  Authorize(context);
  v1::GetJobPlanRequest request;
  request.set_job_uid("unknown");
  const auto reader = worker_->GetJobPlan(&context, request);
  v1::JobPlanChunk chunk;
  EXPECT_FALSE(reader->Read(&chunk));
  const absl::Status status = FromGrpc(reader->Finish());
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_EQ(ReasonOf(status), "JOB_NOT_FOUND");
}

TEST_F(WorkerCalls, AnonymousAndForeignWorkersAreRefused) {
  EXPECT_EQ(ReasonOf(SyncError(From(""))), "WORKER_INVALID");
  EXPECT_EQ(ReasonOf(SyncError(From("a\nb"))), "WORKER_INVALID");
  EXPECT_EQ(ReasonOf(SyncError(From(std::string(257, 'w')))), "WORKER_INVALID");
  v1::SyncRequest request = From("w");
  request.set_numerics_version(kNumericsVersion + 1);
  const absl::Status status = SyncError(request);
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_EQ(ReasonOf(status), "NUMERICS_VERSION");
}

// Its results would be taken for others, or for none.
TEST_F(WorkerCalls, AWorkerThatSpeaksAnotherVersionIsRefusedAndToldBoth) {
  v1::SyncRequest request = From("w");
  request.clear_wire_version();
  request.set_version("merganser 0.1.0");
  const absl::Status status = SyncError(request);
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_EQ(ReasonOf(status), "WIRE_VERSION");
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("found wire version 0 (merganser 0.1.0), expected the coordinator's"),
                    HasSubstr("install the same merganser on both")));
}

TEST_F(WorkerCalls, OvertakenCallIsAborted) {
  v1::SyncRequest request = From("w");
  Sync(request);
  const absl::Status status = SyncError(request);
  EXPECT_TRUE(absl::IsAborted(status));
  EXPECT_EQ(ReasonOf(status), "SYNC_OUT_OF_ORDER");
}

TEST_F(WorkerCalls, PermanentFailureFailsTheJob) {
  const std::string name = Submit();
  const v1::Lease lease = Take("w");
  v1::SyncRequest request = From("w");
  v1::UnitFailure& failure = *request.add_failed();
  failure.set_token(lease.token());
  failure.set_job_uid(lease.job_uid());
  failure.set_unit(lease.unit());
  failure.set_code(3);
  failure.set_message("tensor q: found NaN\nat 7");
  Sync(request);
  const JobInfo job = AwaitEnd(server_->jobs(), name);
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_TRUE(absl::IsInvalidArgument(job.error));
  EXPECT_EQ(job.error_reason, "RUN_FAILED");
  EXPECT_THAT(std::string(job.error.message()), AllOf(HasSubstr("found NaN"), HasSubstr("w")));
  EXPECT_EQ(storage_.abandoned(), 1);
}

TEST_F(WorkerCalls, RetryableFailureIsGivenToAnother) {
  const std::string name = Submit();
  const v1::Lease lease = Take("w");
  Sync(From("v"));
  v1::SyncRequest request = From("w", 0);
  v1::UnitFailure& failure = *request.add_failed();
  failure.set_token(lease.token());
  failure.set_code(14);
  Sync(request);
  EXPECT_EQ(Take("v").unit(), lease.unit());
  EXPECT_EQ(client_->Get(name)->progress.retries, 1u);
}

TEST_F(WorkerCalls, ResultThatDoesNotFitThePlanFailsTheJob) {
  const std::string name = Submit();
  const v1::Lease lease = Take("w");
  v1::SyncRequest request = From("w");
  *request.add_completed() = Done(lease, [](UnitResult& result) { result.unit = 99; });
  const v1::SyncResponse response = Sync(request);
  ASSERT_EQ(response.acknowledged_size(), 1);
  const JobInfo job = AwaitEnd(server_->jobs(), name);
  EXPECT_TRUE(absl::IsInternal(job.error)) << job.error;
  EXPECT_THAT(std::string(job.error.message()), HasSubstr("found unit 99"));
}

TEST_F(WorkerCalls, DisagreeingWorkersFailTheJob) {
  JobManagerOptions options = QuickOptions();
  options.schedule.lease_ttl = std::chrono::milliseconds(1);
  StartServer(options);
  const std::string name = Submit();
  const v1::Lease slow = Take("slow");
  v1::Lease quick = Take("quick");
  while (quick.unit() != slow.unit() && !HasFailure()) quick = Take("quick");
  v1::SyncRequest request = From("quick");
  *request.add_completed() = Done(quick, 'a');
  Sync(request);
  request = From("slow");
  *request.add_completed() = Done(slow, 'b');
  Sync(request);
  const JobInfo job = AwaitEnd(server_->jobs(), name);
  EXPECT_TRUE(absl::IsDataLoss(job.error)) << job.error;
  EXPECT_THAT(std::string(job.error.message()), AllOf(HasSubstr("slow"), HasSubstr("quick")));
}

TEST_F(WorkerCalls, ReportsOnJobsThatAreOverAreAcknowledged) {
  v1::Lease lease;
  lease.set_token("old");
  lease.set_job_uid("gone");
  v1::SyncRequest request = From("w");
  *request.add_completed() = Done(lease);
  const v1::SyncResponse response = Sync(request);
  ASSERT_EQ(response.acknowledged_size(), 1);
  EXPECT_EQ(response.acknowledged(0), "old");
  EXPECT_EQ(response.epoch(), server_->jobs().epoch());
}

}  // namespace
}  // namespace merganser
