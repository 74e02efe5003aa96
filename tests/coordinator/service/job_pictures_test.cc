#include "coordinator/service/job_pictures.h"

#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/convert/status_codec.h"
#include "tests/coordinator/service/service_fixture.h"
#include "tests/coordinator/web/sample_report.h"

namespace merganser {
namespace {

using testing::HasSubstr;

std::string ReportOf(const char* tensor) {
  return web::SampleReport({web::SpectralTensor(tensor, "ffn", 0.6)}).dump();
}

class JobPicturesTest : public ServiceTest {
 protected:
  // The name of a job that succeeded, whose report is at its output.
  std::string Succeeded() {
    storage_.SetReport(ReportOf("layers.0.a.weight"));
    const auto job = client_->Submit(ValidRequest());
    EXPECT_TRUE(job.ok()) << job.status();
    EXPECT_EQ(WorkOff("w", job->name).state, JobState::kSucceeded);
    read_before_ = storage_.reports_read();  // the verdict is of it
    return job->name;
  }
  int reads() const { return storage_.reports_read() - read_before_; }

  int read_before_ = 0;
};

TEST_F(JobPicturesTest, AReportIsReadOnceAndLookedAtEveryTime) {
  const std::string name = Succeeded();
  JobPictures pictures(server_->jobs());
  const auto first = pictures.Picture(name, "");
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(first->complete);
  EXPECT_THAT(*first->page, HasSubstr("\"kind\":\"report\""));
  const auto again = pictures.Picture(name, "");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->page, first->page);
  const auto known = pictures.Picture(name, first->version);
  ASSERT_TRUE(known.ok()) << known.status();
  EXPECT_EQ(known->page, nullptr);
  EXPECT_EQ(reads(), 1);
}

TEST_F(JobPicturesTest, AReportThatGoesIsGoneAtOnce) {
  const std::string name = Succeeded();
  JobPictures pictures(server_->jobs());
  const auto before = pictures.Picture(name, "");
  ASSERT_TRUE(before.ok()) << before.status();
  storage_.SetReport(std::nullopt);
  for (const std::string& since : {std::string(), before->version}) {
    const auto gone = pictures.Picture(name, since);
    EXPECT_TRUE(absl::IsNotFound(gone.status())) << gone.status();
    EXPECT_EQ(ReasonOf(gone.status()), "REPORT_GONE");
  }
  // And back when it is back.
  storage_.SetReport(ReportOf("layers.0.a.weight"));
  const auto after = pictures.Picture(name, "");
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->version, before->version);
  EXPECT_EQ(*after->page, *before->page);
  EXPECT_EQ(reads(), 2);
}

TEST_F(JobPicturesTest, AnotherReportIsReadAtOnce) {
  const std::string name = Succeeded();
  JobPictures pictures(server_->jobs());
  const auto before = pictures.Picture(name, "");
  ASSERT_TRUE(before.ok()) << before.status();
  storage_.SetReport(ReportOf("layers.0.b.weight"));
  const auto after = pictures.Picture(name, before->version);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_NE(after->version, before->version);
  ASSERT_NE(after->page, nullptr);
  EXPECT_NE(*after->page, *before->page);
}

TEST_F(JobPicturesTest, WhileStorageCannotTellWhatWasReadIsShown) {
  const std::string name = Succeeded();
  JobPictures pictures(server_->jobs());
  storage_.FailReport(absl::UnavailableError("the disk is away"));
  EXPECT_TRUE(absl::IsUnavailable(pictures.Picture(name, "").status()));
  storage_.FailReport(absl::OkStatus());
  const auto before = pictures.Picture(name, "");
  ASSERT_TRUE(before.ok()) << before.status();
  storage_.FailReport(absl::UnavailableError("the disk is away"));
  const auto meanwhile = pictures.Picture(name, "");
  ASSERT_TRUE(meanwhile.ok()) << meanwhile.status();
  EXPECT_EQ(meanwhile->page, before->page);
}

}  // namespace
}  // namespace merganser
