#include "coordinator/service/job_log.h"

#include <string>
#include <vector>

#include "common/base/log_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

JobInfo SomeJob(JobState state) {
  JobInfo job;
  job.name = "jobs/7f";
  job.owner = "alice";
  job.request.output_uri = "/shared/out";
  job.request.priority = -3;
  job.state = state;
  return job;
}

TEST(JobLogTest, WhoSubmittedAndCancelledWhat) {
  EXPECT_EQ(LogText(SubmittedLine(SomeJob(JobState::kQueued))),
            "info  job=jobs/7f owner=alice output=/shared/out priority=-3 submitted");
  EXPECT_EQ(LogText(CallerLine(SomeJob(JobState::kRunning), "cancelled", "olga")),
            "info  job=jobs/7f owner=alice state=RUNNING cancelled by olga");
}

std::vector<std::string> Change(const JobInfo& before, const JobInfo& after) {
  std::vector<std::string> lines;
  for (const LogLine& line : ChangeLines(before, after)) lines.push_back(LogText(line));
  return lines;
}

TEST(JobLogTest, EveryStateIsSaidOnce) {
  const JobInfo queued = SomeJob(JobState::kQueued);
  EXPECT_THAT(Change(queued, queued), IsEmpty());
  EXPECT_THAT(Change(queued, SomeJob(JobState::kPlanning)),
              ElementsAre("info  job=jobs/7f state=PLANNING is being planned"));
  JobInfo done = SomeJob(JobState::kSucceeded);
  done.progress.units_total = done.progress.units_done = 7;
  done.progress.bytes_total = done.progress.bytes_done = 2048;
  EXPECT_THAT(Change(SomeJob(JobState::kPublishing), done),
              ElementsAre("info  job=jobs/7f state=SUCCEEDED has succeeded, with 7 of 7 units and "
                          "2.00 KiB done"));
  JobInfo failed = SomeJob(JobState::kFailed);
  failed.error = absl::NotFoundError("/models/a: no such\nfolder");
  failed.error_reason = "REQUEST_WRONG";
  EXPECT_THAT(Change(queued, failed),
              ElementsAre("error job=jobs/7f state=FAILED code=NOT_FOUND reason=REQUEST_WRONG has "
                          "failed: /models/a: no such\\nfolder"));
}

TEST(JobLogTest, WarningsAreToldWhenTheyAreNew) {
  JobInfo before = SomeJob(JobState::kPlanning);
  before.warnings = {"one"};
  JobInfo after = SomeJob(JobState::kRunning);
  after.warnings = {"one", "two"};
  EXPECT_THAT(Change(before, after),
              ElementsAre("warn  job=jobs/7f two", "info  job=jobs/7f state=RUNNING is running"));
}

TEST(JobLogTest, AUnitThatFailedOrWasLostIsAWarning) {
  Plan plan;
  plan.rounds = 2;
  plan.tensors.resize(2);
  plan.tensors[1].spec.name = "w1";
  plan.units.resize(5);
  plan.units[4].segments.resize(1);
  plan.units[4].segments[0].tensor = 1;
  const UnitTrouble failed{.job = "7f",
                           .round = 1,
                           .unit = 4,
                           .worker = "host-1",
                           .reported = true,
                           .why = absl::DataLossError("it is NaN")};
  const JobInfo job = SomeJob(JobState::kRunning);
  EXPECT_EQ(LogText(UnitTroubleLine(job, failed, &plan)),
            "warn  job=jobs/7f round=2 unit=4 tensor=w1 worker=host-1 code=DATA_LOSS unit failed: "
            "it is NaN");
  UnitTrouble lost = failed;
  lost.reported = false;
  lost.why = absl::UnavailableError("silent for 30 s");
  EXPECT_EQ(LogText(UnitTroubleLine(job, lost, nullptr)),
            "warn  job=jobs/7f unit=4 worker=host-1 code=UNAVAILABLE unit lost: silent for 30 s");
}

}  // namespace
}  // namespace merganser
