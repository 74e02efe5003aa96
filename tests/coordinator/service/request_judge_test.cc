// What CreateJob says of a request's models, and what it does not hold against it.
#include "coordinator/service/request_judge.h"

#include <chrono>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/convert/status_codec.h"
#include "tests/coordinator/service/service_fixture.h"

namespace merganser {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class JudgeTest : public ServiceTest {
 protected:
  void Judging(Duration limit) {
    judging_ = limit;
    StartServer(QuickOptions());
  }
  void SetUp() override { Judging(std::chrono::seconds(60)); }

  size_t Listed() {
    const auto listed = client_->List();
    EXPECT_TRUE(listed.ok()) << listed.status();
    return listed.ok() ? listed->jobs.size() : 0;
  }
};

TEST_F(JudgeTest, WhatPlanningRefusesIsRefusedAtOnce) {
  for (const absl::Status& wrong :
       {absl::NotFoundError("model a: there is none"), absl::InvalidArgumentError("model a: odd"),
        absl::DataLossError("model a: cut"), absl::PermissionDeniedError("model a: not yours")}) {
    storage_.FailPrepare(wrong);
    const auto job = client_->Submit(ValidRequest());
    EXPECT_EQ(job.status().code(), absl::IsPermissionDenied(wrong)
                                       ? absl::StatusCode::kPermissionDenied
                                       : absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ReasonOf(job.status()), "PLAN_REFUSED");
    EXPECT_EQ(job.status().message(), wrong.message());
    EXPECT_FALSE(client_->Validate(ValidRequest()).ok());
  }
  EXPECT_EQ(Listed(), 0u);
  const auto on_record = store_.Load();
  ASSERT_TRUE(on_record.ok());
  EXPECT_THAT(*on_record, IsEmpty());
}

TEST_F(JudgeTest, StorageThatFailsForNowIsNotHeldAgainstTheJob) {
  storage_.FailPrepare(absl::UnavailableError("the share is away"));
  EXPECT_TRUE(client_->Submit(ValidRequest()).ok());
  const auto judged = client_->Validate(ValidRequest());
  ASSERT_TRUE(judged.ok()) << judged.status();
  EXPECT_EQ(judged->progress.units_total, 0u);
  EXPECT_THAT(judged->warnings, ElementsAre(HasSubstr("not looked at: the share is away")));
}

TEST_F(JudgeTest, StorageThatHangsIsNotHeldAgainstTheJob) {
  Judging(milliseconds(100));
  storage_.Close();
  const auto judged = client_->Validate(ValidRequest());
  ASSERT_TRUE(judged.ok()) << judged.status();
  EXPECT_THAT(judged->warnings, ElementsAre(HasSubstr("no answer within 100 ms")));
  // More than may hang at a time: after that nobody waits.
  for (int i = 0; i < 12; ++i) EXPECT_TRUE(client_->Submit(ValidRequest()).ok());
  EXPECT_EQ(Listed(), 12u);
}

TEST_F(JudgeTest, ACallThatHasLittleTimeIsAnsweredInIt) {
  storage_.Close();
  MergeClient hurried(server_->address(), Token(), std::chrono::seconds(2));
  const auto job = hurried.Submit(ValidRequest());
  EXPECT_TRUE(job.ok()) << job.status();
}

TEST_F(JudgeTest, WhatWasAcceptedOnceStaysAccepted) {
  const auto job = client_->Submit(ValidRequest(), "id-1");
  ASSERT_TRUE(job.ok()) << job.status();
  storage_.FailPrepare(absl::NotFoundError("the models are gone"));
  const auto again = client_->Submit(ValidRequest(), "id-1");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->name, job->name);
  EXPECT_FALSE(client_->Submit(ValidRequest(), "id-2").ok());
}

TEST_F(JudgeTest, ValidateOnlyTellsWhatTheJobWouldBeAndMakesNone) {
  const auto judged = client_->Validate(ValidRequest());
  ASSERT_TRUE(judged.ok()) << judged.status();
  EXPECT_EQ(judged->name, "");
  EXPECT_EQ(judged->uid, "");
  EXPECT_FALSE(judged->created.has_value());
  EXPECT_EQ(judged->request, ValidRequest());
  EXPECT_EQ(judged->progress.units_total, 3u);
  EXPECT_THAT(judged->warnings, ElementsAre("a warning of the plan"));
  JobRequest typo = ValidRequest();
  typo.recipe.replace(typo.recipe.find("resmerge"), 8, "lineer");
  const auto refused = client_->Validate(typo);
  EXPECT_EQ(ReasonOf(refused.status()), "RECIPE_INVALID") << refused.status();
  EXPECT_EQ(Listed(), 0u);
  EXPECT_EQ(storage_.begun(), 0);
}

}  // namespace
}  // namespace merganser
