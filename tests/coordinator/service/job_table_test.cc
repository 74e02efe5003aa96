#include "coordinator/service/job_table.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/service/service_fixture.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::chrono::hours kAge(10);

JobPtr Job(JobTable& table, const std::string& uid, const std::string& request_id = "",
           const std::string& owner = "ann") {
  auto job = std::make_shared<ManagedJob>();
  job->record.sequence = table.NextSequence();
  job->record.request_id = request_id;
  job->record.info.uid = uid;
  job->record.info.name = absl::StrCat("jobs/", uid);
  job->record.info.owner = owner;
  job->record.info.request = ValidRequest();
  job->recipe = std::make_shared<const std::string>(job->record.info.request.recipe);
  job->record.info.request.recipe.clear();
  table.Add(job);
  return job;
}

void End(ManagedJob& job, Duration served) {
  job.record.info.state = JobState::kSucceeded;
  job.record.ended_after = served;
}

TEST(JobTableTest, AJobIsFoundByUidNameAndRequest) {
  JobTable table;
  const JobPtr job = Job(table, "00000000000000aa", "request");
  EXPECT_EQ(table.Get("00000000000000aa"), job);
  EXPECT_TRUE(table.Has("00000000000000aa"));
  EXPECT_EQ(*table.Find("jobs/00000000000000aa"), job);
  EXPECT_EQ(*table.FindRequest(ValidRequest(), "request", "ann"), job);
  EXPECT_TRUE(table.HasRequest("request"));
  EXPECT_EQ(table.Get("00000000000000bb"), nullptr);
  EXPECT_TRUE(absl::IsNotFound(table.Find("jobs/00000000000000bb").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(table.Find("somewhere").status()));
  EXPECT_EQ(*table.FindRequest(ValidRequest(), "another", "ann"), nullptr);
  EXPECT_FALSE(table.HasRequest(""));
}

TEST(JobTableTest, ARequestIdStandsForOneRequestOfOneOwner) {
  JobTable table;
  const JobPtr job = Job(table, "00000000000000aa", "request");
  EXPECT_FALSE(table.FindRequest(ValidRequest("/elsewhere"), "request", "ann").ok());
  const auto others = table.FindRequest(ValidRequest(), "request", "bob");
  EXPECT_FALSE(others.ok());
  EXPECT_THAT(std::string(others.status().message()), HasSubstr("for somebody else"));
  // Its priority may have changed since.
  job->record.asked_priority = 0;
  job->record.info.request.priority = 7;
  EXPECT_EQ(*table.FindRequest(ValidRequest(), "request", "ann"), job);
}

TEST(JobTableTest, OldJobsGoWithTheirRequestIdsAndThoseAboveTheNumberLeaveThem) {
  JobTable table;
  const JobPtr old = Job(table, "000000000000000a", "old");
  const JobPtr first = Job(table, "000000000000000b", "first");
  const JobPtr second = Job(table, "000000000000000c", "second");
  const JobPtr running = Job(table, "000000000000000d", "running");
  End(*old, std::chrono::hours(1));
  End(*first, std::chrono::hours(12));
  End(*second, std::chrono::hours(13));
  const KeptJobs kept{1, kAge};
  const JobTable::Forgotten forgotten = table.TakeOld(kept, std::chrono::hours(14));
  EXPECT_THAT(forgotten.removed, ElementsAre("000000000000000a"));
  EXPECT_THAT(forgotten.retired, ElementsAre("000000000000000b"));
  EXPECT_THAT(forgotten.requests, IsEmpty());
  EXPECT_FALSE(table.HasRequest("old"));
  EXPECT_TRUE(table.HasRequest("first"));
  EXPECT_FALSE(table.FindRequest(ValidRequest(), "first", "ann").ok());
  EXPECT_TRUE(table.Has("000000000000000c"));
  EXPECT_TRUE(table.Has("000000000000000d"));
  EXPECT_EQ(table.jobs().size(), 2u);
  // It is told once.
  EXPECT_TRUE(table.took_some());
  EXPECT_THAT(table.TellTaken(kept), HasSubstr("2"));
  EXPECT_FALSE(table.took_some());
  EXPECT_EQ(table.TellTaken(kept), "");
  // The id is spent for as long as a job would be kept.
  EXPECT_THAT(table.TakeOld({10, kAge}, std::chrono::hours(22) + std::chrono::minutes(1)).requests,
              ElementsAre("first"));
  EXPECT_FALSE(table.HasRequest("first"));
}

TEST(JobTableTest, WhatIsTakenOutMayLiveByTheTableAlone) {
  JobTable table;
  End(*Job(table, "000000000000000a", "request"), std::chrono::hours(1));
  table.TakeOut(*table.Get("000000000000000a"), /*old=*/false);
  EXPECT_FALSE(table.Has("000000000000000a"));
  EXPECT_TRUE(table.HasRequest("request"));
}

TEST(JobTableTest, SequencesRiseOverWhatIsOnRecord) {
  JobTable table;
  auto job = std::make_shared<ManagedJob>();
  job->record.sequence = 41;
  job->record.info.uid = "000000000000000a";
  table.Add(job);
  EXPECT_EQ(table.NextSequence(), 42u);
  EXPECT_EQ(table.NextSequence(), 43u);
}

}  // namespace
}  // namespace merganser
