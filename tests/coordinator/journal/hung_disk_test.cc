// A disk that does not answer: who reports results hears of it in time, and nothing piles up.
#include "tests/coordinator/journal/hung_disk.h"

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/journal/journal.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr size_t kWaitingEvents = 100;

JobRecord Record(const std::string& uid, uint64_t sequence) {
  JobRecord record;
  record.sequence = sequence;
  record.info.uid = uid;
  record.info.name = "jobs/" + uid;
  record.info.state = JobState::kRunning;
  return record;
}

std::vector<StoredResult> Result(uint32_t unit) {
  return {{"a", 0, unit, std::string(100, 'x'), "w", 1, ""}};
}

class HungDiskTest : public ::testing::Test {
 protected:
  HungDiskTest() {
    JournalOptions options;
    options.directory = dir_.File("state");
    options.results_wait = std::chrono::milliseconds(100);
    options.waiting_events = kWaitingEvents;
    auto journal = Journal::Open(options, clock_);
    EXPECT_TRUE(journal.ok()) << journal.status();
    journal_ = *std::move(journal);
    EXPECT_TRUE(journal_->Save(Record("a", 1)).ok());
  }
  ~HungDiskTest() override { disk_.Answer(); }

  TempDir dir_;
  FakeClock clock_;
  HungDisk disk_;
  std::unique_ptr<Journal> journal_;
};

TEST_F(HungDiskTest, ResultsAreNotWaitedForWithoutEnd) {
  disk_.Hang();
  // This one is with the disk, and comes to be on record late.
  const absl::Status late = journal_->AddResults(Result(0));
  EXPECT_TRUE(absl::IsUnavailable(late)) << late;
  EXPECT_THAT(std::string(late.message()), HasSubstr("merganser.db: its disk has not answered"));
  disk_.AwaitHung();
  // From here on nobody waits, and nothing is queued.
  const auto began = std::chrono::steady_clock::now();
  for (uint32_t unit = 1; unit <= 200; ++unit) {
    EXPECT_TRUE(absl::IsUnavailable(journal_->AddResults(Result(unit))));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(10));
  disk_.Answer();
  EXPECT_THAT(*journal_->Results("a"), SizeIs(1));
  // Who was told that it failed repeats it.
  EXPECT_TRUE(journal_->AddResults(Result(0)).ok());
  EXPECT_TRUE(journal_->AddResults(Result(1)).ok());
  EXPECT_THAT(*journal_->Results("a"), SizeIs(2));
}

TEST_F(HungDiskTest, WhatTheDiskHasNotSeenWhenTheTimeIsOverIsTakenBack) {
  disk_.Hang();
  std::thread saving([&] { EXPECT_TRUE(journal_->Save(Record("b", 2)).ok()); });
  disk_.AwaitHung();
  EXPECT_TRUE(absl::IsUnavailable(journal_->AddResults(Result(0))));
  disk_.Answer();
  saving.join();
  EXPECT_THAT(*journal_->Results("a"), SizeIs(0));
}

// It hangs for hours, and units are lost all the while.
TEST_F(HungDiskTest, OfEventsTheLastOfEachJobWait) {
  disk_.Hang();
  std::thread saving([&] { EXPECT_TRUE(journal_->Save(Record("b", 2)).ok()); });
  disk_.AwaitHung();
  for (int i = 0; i < 1000; ++i) {
    StoredEvent event;
    event.event.text = absl::StrCat(i);
    journal_->AddEvents("a", {event});
    if (i == 0) journal_->AddEvents("b", {event});
  }
  disk_.Answer();
  saving.join();
  const auto events = journal_->Events("a");
  ASSERT_THAT(*events, SizeIs(kWaitingEvents));
  EXPECT_EQ(events->front().event.text, "900");
  EXPECT_EQ(events->back().event.text, "999");
  EXPECT_THAT(*journal_->Events("b"), SizeIs(1));
}

TEST_F(HungDiskTest, OfHowAJobGoesTheLastWaits) {
  disk_.Hang();
  std::thread saving([&] { EXPECT_TRUE(journal_->Save(Record("b", 2)).ok()); });
  disk_.AwaitHung();
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 1000; ++i) journal_->KeepActivity("a", absl::StrCat(i));
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(10));
  disk_.Answer();
  saving.join();
  EXPECT_EQ(*journal_->Activity("a"), "999");
}

}  // namespace
}  // namespace merganser
