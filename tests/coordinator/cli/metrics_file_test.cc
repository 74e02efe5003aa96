#include "coordinator/cli/metrics_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>

#include "tests/testing/temp_dir.h"

namespace merganser::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Read(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

class MetricsFileTest : public ::testing::Test {
 protected:
  const TempDir dir_;
  const std::string path_ = dir_.File("merge.prom");
  const std::shared_ptr<MetricRegistry> registry_ = std::make_shared<MetricRegistry>();
  Counter& counter_ = registry_->OneCounter("merganser_a_total", "A.");
};

TEST_F(MetricsFileTest, IsThereAtOnceAndHasTheLastWord) {
  {
    MetricsFile file(path_, registry_, {{"rank", "1"}}, std::chrono::hours(1));
    EXPECT_THAT(Read(path_), AllOf(HasSubstr("merganser_a_total{rank=\"1\"} 0\n"),
                                   HasSubstr("merganser_build_info{version=\"")));
    counter_.Add(7);
  }
  EXPECT_THAT(Read(path_), HasSubstr("merganser_a_total{rank=\"1\"} 7\n"));
  EXPECT_THAT(registry_->problems(), IsEmpty());
}

TEST_F(MetricsFileTest, IsWrittenAgainEveryPeriod) {
  MetricsFile file(path_, registry_, {}, std::chrono::milliseconds(1));
  counter_.Add(7);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (Read(path_).find("merganser_a_total 7\n") == std::string::npos) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "not written again in time";
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

TEST_F(MetricsFileTest, AReaderNeverSeesHalfOfIt) {
  MetricsFile file(path_, registry_, {}, std::chrono::microseconds(1));
  for (int i = 0; i < 500; ++i) {
    const std::string text = Read(path_);
    ASSERT_THAT(text,
                AllOf(HasSubstr("merganser_a_total"), HasSubstr("merganser_start_time_seconds ")));
    ASSERT_EQ(text.back(), '\n');
  }
}

TEST_F(MetricsFileTest, LeavesNothingElseInItsFolder) {
  { MetricsFile file(path_, registry_, {}, std::chrono::milliseconds(1)); }
  ASSERT_EQ(rename(path_.c_str(), dir_.File("moved").c_str()), 0);
  EXPECT_EQ(rmdir(dir_.path().c_str()), -1);
  ASSERT_EQ(unlink(dir_.File("moved").c_str()), 0);
  EXPECT_EQ(rmdir(dir_.path().c_str()), 0) << "something is left in the folder";
}

TEST_F(MetricsFileTest, AFileThatCannotBeWrittenIsOneWarning) {
  testing::internal::CaptureStderr();
  {
    MetricsFile file(dir_.File("missing/merge.prom"), registry_, {}, std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, HasSubstr("warning: --metrics-file: " + dir_.File("missing/")));
  EXPECT_THAT(said, HasSubstr("No such file or directory"));
  EXPECT_EQ(said.find("warning"), said.rfind("warning"));
}

TEST_F(MetricsFileTest, WithoutAPathNothingIsWritten) {
  testing::internal::CaptureStderr();
  { MetricsFile file("", registry_); }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(ReplaceFile, KeepsTheOldFileWhereTheNewOneCannotBeMade) {
  const TempDir dir;
  const std::string path = dir.File("a");
  ASSERT_TRUE(ReplaceFile(path, "old").ok());
  // A folder in the place of the file cannot be replaced.
  ASSERT_EQ(mkdir(dir.File("folder").c_str(), 0755), 0);
  const absl::Status status = ReplaceFile(dir.File("folder"), "new");
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(dir.File("folder")));
  EXPECT_EQ(Read(path), "old");
  ASSERT_TRUE(ReplaceFile(path, "new").ok());
  EXPECT_EQ(Read(path), "new");
}

TEST(AddCommonLabel, TakesWhatTellsProcessesApart) {
  CommonLabels labels;
  EXPECT_TRUE(AddCommonLabel("worker=a", labels).ok());
  EXPECT_TRUE(AddCommonLabel("slurm_job=12=3", labels).ok());
  EXPECT_EQ(labels, (CommonLabels{{"worker", "a"}, {"slurm_job", "12=3"}}));
  for (const char* wrong : {"", "=", "worker", "pool=", "=a", "worker=b", "Pool=a", "a-b=c", "le=1",
                            "job=1", "instance=x", "stage=read", "rank=1"}) {
    const absl::Status status = AddCommonLabel(wrong, labels);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << wrong;
    EXPECT_THAT(std::string(status.message()), HasSubstr("expected NAME=VALUE"));
  }
  EXPECT_EQ(labels.size(), 2u);
}

TEST(MetricsFileOfRank, StandsBesideThatOfRankZero) {
  EXPECT_EQ(MetricsFileOfRank("/a/merge.prom", 0), "/a/merge.prom");
  EXPECT_EQ(MetricsFileOfRank("/a/merge.prom", 12), "/a/merge.rank12.prom");
  EXPECT_EQ(MetricsFileOfRank("/a.d/merge", 1), "/a.d/merge.rank1");
  EXPECT_EQ(MetricsFileOfRank("/a/.prom", 1), "/a/.prom.rank1");
  EXPECT_EQ(MetricsFileOfRank("", 3), "");
}

}  // namespace
}  // namespace merganser::cli
