#include "coordinator/service/job_board.h"

#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

JobView View(uint64_t sequence, JobState state = JobState::kQueued, uint64_t units = 0) {
  auto info = std::make_shared<JobInfo>();
  info->uid = absl::StrCat("u", sequence);
  info->name = absl::StrCat("jobs/u", sequence);
  info->state = state;
  info->progress.units_done = units;
  info->created = WallTime(std::chrono::seconds(100 + sequence));
  return {info, nullptr, nullptr, sequence};
}

std::vector<uint64_t> Sequences(const std::vector<JobView>& views) {
  std::vector<uint64_t> sequences;
  for (const JobView& view : views) sequences.push_back(view.sequence);
  return sequences;
}

TEST(JobBoard, IsReadNewestFirst) {
  JobBoard board;
  for (const uint64_t sequence : {2, 1, 5, 4}) board.Post(View(sequence));
  EXPECT_THAT(Sequences(board.All()), ElementsAre(5, 4, 2, 1));
  EXPECT_THAT(Sequences(board.Before(5, 2)), ElementsAre(4, 2));
  EXPECT_THAT(Sequences(board.Before(1, 2)), IsEmpty());
  EXPECT_EQ(board.Find("u4")->sequence, 4u);
  EXPECT_FALSE(board.Find("u3").has_value());
}

TEST(JobBoard, TellsWhatChangedAndNothingTwice) {
  JobBoard board;
  board.Post(View(1));
  board.Post(View(2));
  const uint64_t version = board.version();
  EXPECT_THAT(board.Since(version).changed, IsEmpty());
  board.Post(View(1));  // says the same
  EXPECT_EQ(board.version(), version);
  board.Post(View(1, JobState::kRunning, 3));
  board.Post(View(1, JobState::kRunning, 4));
  board.Remove("u2");
  const JobBoard::Changes changes = board.Since(version);
  EXPECT_FALSE(changes.all);
  ASSERT_THAT(Sequences(changes.changed), ElementsAre(1));
  EXPECT_EQ(changes.changed[0].info->progress.units_done, 4u);
  EXPECT_THAT(changes.removed, ElementsAre("jobs/u2"));
  EXPECT_THAT(board.Since(changes.version).removed, IsEmpty());
}

TEST(JobBoard, WhoAsksTooLateReadsAllAnew) {
  JobBoard board;
  board.Post(View(1));
  const uint64_t version = board.version();
  for (uint64_t i = 2; i < 2000; ++i) {
    board.Post(View(i));
    board.Remove(absl::StrCat("u", i));
  }
  const JobBoard::Changes changes = board.Since(version);
  EXPECT_TRUE(changes.all);
  EXPECT_THAT(Sequences(changes.changed), ElementsAre(1));
  EXPECT_THAT(changes.removed, IsEmpty());
  // So does who has a version of another process.
  EXPECT_TRUE(board.Since(changes.version + 1).all);
}

TEST(JobBoard, CountsByStateAndKnowsTheOldestThatIsQueued) {
  JobBoard board;
  EXPECT_FALSE(board.oldest_queued().has_value());
  board.Post(View(1));
  board.Post(View(2));
  board.Post(View(1, JobState::kRunning));
  EXPECT_EQ(board.counts()[static_cast<size_t>(JobState::kQueued)], 1u);
  EXPECT_EQ(board.counts()[static_cast<size_t>(JobState::kRunning)], 1u);
  EXPECT_EQ(board.oldest_queued(), WallTime(std::chrono::seconds(102)));
  board.Remove("u2");
  board.Remove("u1");
  EXPECT_THAT(board.counts(), testing::Each(0u));
  EXPECT_FALSE(board.oldest_queued().has_value());
}

TEST(JobBoard, IsAwaitedUntilSomethingIsNewOrItIsClosed) {
  JobBoard board;
  EXPECT_EQ(board.Await(0, std::chrono::milliseconds(1)), 0u);
  std::thread poster([&] { board.Post(View(1)); });
  EXPECT_EQ(board.Await(0, std::chrono::hours(1)), 1u);
  poster.join();
  std::thread closer([&] { board.Close(); });
  EXPECT_EQ(board.Await(1, std::chrono::hours(1)), 1u);
  closer.join();
}

}  // namespace
}  // namespace merganser
