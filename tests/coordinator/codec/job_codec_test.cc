#include "coordinator/service/job_codec.h"

#include <chrono>
#include <string>

#include "gtest/gtest.h"

namespace merganser {
namespace {

JobInfo SampleJob(JobState state) {
  JobInfo job;
  job.name = "jobs/a1";
  job.uid = "a1";
  job.owner = "alice";
  job.request = {
      "merge_method: linear",       "r.yaml", {"/cwd", "/recipes"}, "/out", true, -7, "my merge",
      {{"team", "rl"}, {"run", ""}}};
  job.method = "linear";
  job.models = {"base", "org/a"};
  job.state = state;
  job.cancelling = true;
  job.progress = {10, 4, 1000, 400, 2, 1, 3, "waits"};
  job.created = WallTime(std::chrono::nanoseconds(1'700'000'000'123'456'789));
  job.started = WallTime(std::chrono::nanoseconds(-1));
  job.report_summary = "summary";
  job.warnings = {"w1", "w2"};
  job.events = {{WallTime(std::chrono::seconds(7)), "created"}, {WallTime(), "started"}};
  return job;
}

TEST(JobCodec, RoundTripInEveryState) {
  for (const JobState state :
       {JobState::kQueued, JobState::kPlanning, JobState::kRunning, JobState::kPublishing,
        JobState::kSucceeded, JobState::kFailed, JobState::kCancelled}) {
    JobInfo job = SampleJob(state);
    if (state == JobState::kFailed) {
      job.error = absl::DataLossError("torn");
      job.error_reason = "RUN_FAILED";
      job.finished = WallTime(std::chrono::seconds(1));
    }
    const auto back = DecodeJob(EncodeJob(job));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, job) << JobStateName(state);
  }
}

// A protobuf string that is no UTF-8 makes the whole answer undecodable.
TEST(JobCodec, TextOfADamagedJournalDoesNotSpoilTheAnswer) {
  JobInfo job = SampleJob(JobState::kFailed);
  job.name = job.uid = job.owner = "\xff";
  job.request = {"\xff", "\xff", {"\xff"}, "\xff", false, 0, "\xff", {{"\xff", "\xff"}}};
  job.method = "\xff";
  job.models = {"\xff"};
  job.error = absl::InternalError("\xff");
  job.error_reason = job.report_summary = job.progress.detail = "\xff";
  job.warnings = {"\xff"};
  job.events = {{WallTime(), "\xff"}};
  v1::Job proto;
  ASSERT_TRUE(proto.ParseFromString(EncodeJob(job).SerializeAsString()));
  EXPECT_EQ(proto.owner(), "?");
  EXPECT_EQ(proto.recipe_source(), "?");
  EXPECT_EQ(proto.output_uri(), "?");
  EXPECT_EQ(proto.directories(0), "?");
  EXPECT_EQ(proto.error().reason(), "?");
  EXPECT_EQ(proto.display_name(), "?");
  EXPECT_EQ(proto.labels().at("?"), "?");
  EXPECT_EQ(proto.method(), "?");
  EXPECT_EQ(proto.models(0), "?");
}

TEST(JobCodec, WhatIsToBeShownHidesNothing) {
  JobInfo job = SampleJob(JobState::kFailed);
  job.error = absl::InternalError("a\u009b31m");
  job.error_reason = job.progress.detail = "\u202eb";
  job.report_summary = "c\u2066\nd\u009d\n";
  job.warnings = {"\u061ce\n"};
  job.events = {{WallTime(), "f\x1b"}};
  const v1::Job proto = EncodeJob(job);
  EXPECT_EQ(proto.error().message(), "a?31m");
  EXPECT_EQ(proto.error().reason(), "?b");
  EXPECT_EQ(proto.progress().detail(), "?b");
  EXPECT_EQ(proto.report_summary(), "c?\nd?\n");
  EXPECT_EQ(proto.warnings(0), "?e?");
  EXPECT_EQ(proto.events(0).text(), "f?");
}

TEST(JobCodec, AJobWithoutANameIsCalledAfterItsRecipe) {
  JobRequest request;
  request.source_name = "/home/alice/recipes/math.yaml";
  EXPECT_EQ(ShownName(request), "math.yaml");
  request.source_name = "math.yaml";
  EXPECT_EQ(ShownName(request), "math.yaml");
  request.display_name = "math, again";
  EXPECT_EQ(ShownName(request), "math, again");
  EXPECT_EQ(ShownName(JobRequest()), "");
}

TEST(JobCodec, UnknownStateIsRefused) {
  v1::Job proto = EncodeJob(SampleJob(JobState::kQueued));
  proto.set_state(static_cast<v1::Job::State>(99));
  EXPECT_TRUE(absl::IsInvalidArgument(DecodeJob(proto).status()));
  proto.set_state(v1::Job::STATE_UNSPECIFIED);
  EXPECT_TRUE(absl::IsInvalidArgument(DecodeJob(proto).status()));
}

TEST(JobCodec, AbsurdTimesAreLeftOut) {
  v1::Job proto = EncodeJob(SampleJob(JobState::kQueued));
  proto.mutable_create_time()->set_seconds(INT64_MAX);
  const auto back = DecodeJob(proto);
  ASSERT_TRUE(back.ok());
  EXPECT_FALSE(back->created.has_value());
}

TEST(JobCodec, RequestRoundTrip) {
  const JobRequest request = SampleJob(JobState::kQueued).request;
  const v1::CreateJobRequest proto = EncodeRequest(request, "id");
  EXPECT_EQ(proto.request_id(), "id");
  EXPECT_EQ(DecodeRequest(proto), request);
}

}  // namespace
}  // namespace merganser
