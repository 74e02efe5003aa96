// However much text jobs collect, answers stay small.
#include "coordinator/service/job_limits.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/service/job_codec.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/coordinator/service/service_fixture.h"

namespace merganser {
namespace {

constexpr size_t kDefaultReceiveLimit = size_t{4} << 20;  // of gRPC clients

std::string Long() { return std::string(1'800'000, 'q'); }
// Beyond every limit too, where there are thousands: sanitizers keep some bytes for each of theirs.
std::string Longish() { return std::string(20'000, 'q'); }

TEST(JobLimits, TextsAreCutAndWarningsCounted) {
  JobInfo info;
  info.error = absl::InvalidArgumentError(Long());
  info.report_summary = info.progress.detail = Long();
  info.warnings.assign(1000, Longish());
  BoundTexts(info);
  EXPECT_EQ(info.error.message().size(), kMaxErrorText);
  EXPECT_TRUE(absl::IsInvalidArgument(info.error));
  EXPECT_EQ(info.warnings.size(), kMaxWarnings);
  EXPECT_EQ(info.warnings.front().size(), kMaxWarningText);
  EXPECT_TRUE(info.warnings.back().starts_with("937 more warnings: ")) << info.warnings.back();
  const JobInfo once = info;
  BoundTexts(info);
  EXPECT_EQ(info, once);
}

TEST(JobLimits, TheLargestJobFitsAnAnswer) {
  JobInfo info;
  info.name = info.uid = "jobs/a";
  info.request.recipe = std::string(size_t{1} << 20, 'r');
  info.request.source_name = info.request.output_uri = std::string(4096, 'p');
  info.request.directories.assign(8, std::string(4096, 'd'));
  info.error = absl::InvalidArgumentError(Long());
  info.report_summary = info.progress.detail = Long();
  info.warnings.assign(1000, Longish());
  info.request.display_name = std::string(128 * 4, 'n');
  for (char c = 'a'; c < 'a' + 16; ++c) {
    info.request.labels[std::string(63, c)] = std::string(63 * 4, 'v');
  }
  info.method = Long();
  info.models.assign(1000, Longish());
  info.events.assign(kKeptEvents, {WallTime(), std::string(kMaxEventText, 'e')});
  info.created = info.started = info.finished = WallTime();
  BoundTexts(info);
  const size_t bytes = EncodeJob(info).ByteSizeLong();
  EXPECT_LT(bytes, kDefaultReceiveLimit);
  EXPECT_LE(bytes, EncodedBytesAtMost(info));
  EXPECT_LT(EncodedBytesAtMost(info), bytes + 10'000);
}

// Records of a program that cut nothing.
TEST(JobLimits, OldRecordsAreServedCutAndPagesEndInTime) {
  constexpr int kJobs = 100;
  MemoryJobStore store(SystemClock());
  for (int i = 1; i <= kJobs; ++i) {
    JobRecord record;
    record.sequence = static_cast<uint64_t>(i);
    record.info.uid = absl::StrCat("a", i);
    record.info.name = "jobs/" + record.info.uid;
    record.info.request = ValidRequest();
    record.info.state = JobState::kFailed;
    record.info.error = absl::InvalidArgumentError(Long());
    record.info.error_reason = "REQUEST_WRONG";
    record.info.finished = SystemClock().WallNow();
    record.info.warnings.assign(200, std::string(5000, 'w'));
    ASSERT_TRUE(store.Save(record).ok());
    store.AddEvents(record.info.uid, {{{WallTime(), Long()}, std::nullopt}});
  }
  FakeStorage storage(1);
  auto jobs = JobManager::Start(QuickOptions(), SystemClock(), store, storage.Runs());
  ASSERT_TRUE(jobs.ok()) << jobs.status();
  const auto one = (*jobs)->Get("jobs/a1");
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(one->error.message().size(), kMaxErrorText);
  ASSERT_EQ(one->events.size(), 1u);
  EXPECT_EQ(one->events[0].text.size(), kMaxEventText);
  int listed = 0, pages = 0;
  std::string token;
  do {
    const auto page = (*jobs)->List(1000, token);
    ASSERT_TRUE(page.ok()) << page.status();
    ASSERT_FALSE(page->jobs.empty());
    size_t bytes = 0;
    for (const JobInfo& job : page->jobs) {
      EXPECT_EQ(job.uid, absl::StrCat("a", kJobs - listed++));
      bytes += EncodeJob(job).ByteSizeLong();
    }
    EXPECT_LE(bytes, kMaxPageBytes);
    token = page->next_page_token;
    ++pages;
  } while (!token.empty());
  EXPECT_EQ(listed, kJobs);
  EXPECT_GT(pages, 2);
}

// Whatever is quoted, the code that was sent arrives, with its reason.
TEST_F(ServiceTest, LongTextDoesNotHideTheError) {
  const std::string accents = [] {
    std::string text;
    for (int i = 0; i < 2000; ++i) text += "é";
    return text;
  }();
  std::vector<JobRequest> requests(4, ValidRequest());
  requests[0].recipe = "x: 1";
  requests[0].source_name = accents;
  requests[1].output_uri = "s3://" + accents;
  requests[2].recipe = "merge_method: \"" + std::string(900'000, 'm') + "\"\nmodels: [/a]\n";
  requests[3].recipe = "merge_method: linear\nmodels: [{model: \"" + std::string(900'000, 'q') +
                       "://m\", parameters: {weight: many}}]\n";
  for (const JobRequest& request : requests) {
    const absl::Status refused = client_->Submit(request).status();
    EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
    EXPECT_LT(refused.message().size(), 1500u);
  }
}

}  // namespace
}  // namespace merganser
