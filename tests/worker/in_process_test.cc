#include "worker/sources/in_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/mutex.h"
#include "common/engine/rounds.h"
#include "tests/worker/worker_fixture.h"
#include "worker/unit_runner.h"

namespace merganser {
namespace {

// Five units.
TestJob MakeJob(const StoreTraits& output = TestTraits()) {
  return TestJob(kAverage, TwoModels(5, 200), output);
}

// What comes of a run that has ended.
std::map<std::string, std::string> PublishedOf(InProcessSource& source, TestJob& job) {
  auto results = source.TakeResults();
  EXPECT_TRUE(results.ok()) << results.status();
  std::map<uint32_t, UnitResult> by_unit;
  for (UnitResult& result : *results) by_unit.emplace(result.unit, std::move(result));
  return job.Publish(by_unit);
}

std::map<std::string, std::string> MergedFiles(TestJob& job) {
  InProcessSource source(job.context());
  EXPECT_TRUE(RunUnits(source, Options(3, uint64_t{1} << 30)).ok());
  return PublishedOf(source, job);
}

UnitResult ResultOf(uint32_t unit) {
  UnitResult result;
  result.unit = unit;
  result.worker = absl::StrCat("w", unit);
  return result;
}

TEST(InProcessSourceTest, HandsOutUnitsInOrderAndThenNone) {
  const TestJob job = MakeJob();
  InProcessSource source(job.context());
  for (uint32_t u = 0; u < 5; ++u) {
    const auto leased = source.Next();
    ASSERT_TRUE(leased.ok() && leased->has_value());
    EXPECT_EQ((*leased)->unit, u);
    EXPECT_EQ((*leased)->job, job.context());
    EXPECT_EQ((*leased)->token, "");
    source.Complete(**leased, ResultOf(u));
  }
  EXPECT_FALSE(source.Next()->has_value());
  EXPECT_FALSE(source.Next()->has_value());
}

TEST(InProcessSourceTest, ResultsComeInUnitOrderWhateverTheOrderOfCompletion) {
  const TestJob job = MakeJob();
  InProcessSource source(job.context());
  std::vector<LeasedUnit> units;
  for (int i = 0; i < 5; ++i) units.push_back(**source.Next());
  for (const uint32_t u : {3, 0, 4, 2, 1}) {
    EXPECT_TRUE(source.Progress(units[u], 10));
    source.Complete(units[u], ResultOf(u));
  }
  EXPECT_EQ(source.progress().units_done, 5u);
  EXPECT_EQ(source.progress().bytes_done, 50u);
  const auto results = source.TakeResults();
  ASSERT_TRUE(results.ok()) << results.status();
  ASSERT_EQ(results->size(), 5u);
  for (uint32_t u = 0; u < 5; ++u) EXPECT_EQ((*results)[u].unit, u);
}

TEST(InProcessSourceTest, WhatAnEarlierRunDidIsNotHandedOutAgain) {
  const TestJob job = MakeJob();
  std::vector<uint32_t> completed;
  InProcessSource source(job.context(), {ResultOf(3), ResultOf(1), ResultOf(1)},
                         [&](const UnitResult& result) { completed.push_back(result.unit); });
  EXPECT_EQ(source.progress().units_done, 2u);
  EXPECT_EQ(source.progress().bytes_done, RoundBytes(job.plan(), job.plan().units[1], 0, {}) +
                                              RoundBytes(job.plan(), job.plan().units[3], 0, {}));
  for (const uint32_t expected : {0, 2, 4}) {
    const auto leased = source.Next();
    ASSERT_TRUE(leased.ok() && leased->has_value());
    EXPECT_EQ((*leased)->unit, expected);
    source.Complete(**leased, ResultOf(expected));
  }
  EXPECT_FALSE(source.Next()->has_value());
  EXPECT_EQ(completed, (std::vector<uint32_t>{0, 2, 4}));
  const auto results = source.TakeResults();
  ASSERT_TRUE(results.ok()) << results.status();
  ASSERT_EQ(results->size(), 5u);
  for (uint32_t u = 0; u < 5; ++u) EXPECT_EQ((*results)[u].worker, absl::StrCat("w", u));
}

TEST(InProcessSourceTest, TheFirstFailureWinsAndEndsTheRun) {
  const TestJob job = MakeJob();
  InProcessSource source(job.context());
  const LeasedUnit first = **source.Next(), second = **source.Next();
  EXPECT_TRUE(source.Progress(first, 1));
  source.Fail(second, absl::DataLossError("second"));
  EXPECT_FALSE(source.Progress(first, 1));
  EXPECT_FALSE(source.Next()->has_value());
  source.Fail(first, absl::UnavailableError("first"));
  EXPECT_EQ(source.TakeResults().status(), absl::DataLossError("second"));
}

TEST(InProcessSourceTest, InterruptEndsTheRunAsCancelled) {
  const TestJob job = MakeJob();
  InProcessSource source(job.context());
  const LeasedUnit first = **source.Next();
  source.Interrupt();
  EXPECT_FALSE(source.Progress(first, 1));
  EXPECT_FALSE(source.Next()->has_value());
  EXPECT_EQ(source.TakeResults().status().code(), absl::StatusCode::kCancelled);
}

TEST(InProcessSourceTest, AFailureBeforeAnInterruptStays) {
  const TestJob job = MakeJob();
  InProcessSource source(job.context());
  source.Fail(**source.Next(), absl::DataLossError("damaged"));
  source.Interrupt();
  EXPECT_EQ(source.TakeResults().status().code(), absl::StatusCode::kDataLoss);
}

TEST(InProcessSourceTest, ARunThatStoppedShortIsNoResult) {
  const TestJob job = MakeJob();
  InProcessSource source(job.context());
  source.Complete(**source.Next(), ResultOf(0));
  EXPECT_EQ(source.TakeResults().status().code(), absl::StatusCode::kInternal);
}

TEST(InProcessSourceTest, RunsAMergeEndToEnd) {
  TestJob job = MakeJob();
  InProcessSource source(job.context());
  ASSERT_TRUE(RunUnits(source, Options(3, uint64_t{1} << 30)).ok());
  auto results = source.TakeResults();
  ASSERT_TRUE(results.ok()) << results.status();
  std::map<uint32_t, UnitResult> by_unit;
  for (UnitResult& result : *results) by_unit.emplace(result.unit, std::move(result));
  EXPECT_EQ(by_unit.size(), 5u);
  EXPECT_EQ(source.progress().bytes_done, job.plan().bytes_written);
  EXPECT_EQ(job.Publish(by_unit).size(), 5u);
}

constexpr StoreTraits kSmallPieces = {.whole_pieces = true, .least_piece = 100, .good_piece = 300};

// Another process that was thought dead writes over what units wrote, twice.
TEST(InProcessSourceTest, WhatWasWrittenOverIsDoneAgain) {
  TestJob undisturbed = MakeJob(), job = MakeJob(kSmallPieces);
  Mutex mutex;
  std::map<uint32_t, int> done;
  const std::string garbage(1000, 'x');
  InProcessSource source(job.context(), {}, [&](const UnitResult& result) {
    MutexLock lock(mutex);
    if (++done[result.unit] > 2 || result.unit % 2 == 0) return;
    const PlannedWrite& write = job.context()->writes[job.plan().units[result.unit].shard];
    const WriteReceipt& last = result.receipts.back();
    EXPECT_TRUE(
        job.context()
            ->output
            ->WriteRange(write, last.offset, std::as_bytes(std::span(garbage).first(last.size)))
            .ok());
  });
  ASSERT_TRUE(RunUnits(source, Options(3, uint64_t{1} << 30)).ok());
  EXPECT_EQ(done, (std::map<uint32_t, int>{{0, 1}, {1, 3}, {2, 1}, {3, 3}, {4, 1}}));
  EXPECT_EQ(source.progress().units_done, 5u);
  EXPECT_EQ(source.progress().bytes_done, job.plan().bytes_written);
  EXPECT_EQ(PublishedOf(source, job), MergedFiles(undisturbed));
}

TEST(InProcessSourceTest, WhatIsWrittenOverForEverEndsTheRun) {
  TestJob job = MakeJob(kSmallPieces);
  const std::string garbage(1000, 'x');
  InProcessSource source(job.context(), {}, [&](const UnitResult& result) {
    const PlannedWrite& write = job.context()->writes[job.plan().units[result.unit].shard];
    const WriteReceipt& first = result.receipts.front();
    job.context()
        ->output
        ->WriteRange(write, first.offset, std::as_bytes(std::span(garbage).first(first.size)))
        .IgnoreError();
  });
  ASSERT_TRUE(RunUnits(source, Options(3, uint64_t{1} << 30)).ok());
  const auto results = source.TakeResults();
  EXPECT_EQ(results.status().code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(results.status().message()),
              testing::HasSubstr("another process writes the same output"));
}

// Interrupts at the first bytes that are written.
class InterruptingSource final : public UnitSource {
 public:
  explicit InterruptingSource(InProcessSource& inner) : inner_(inner) {}
  absl::StatusOr<std::optional<LeasedUnit>> Next() override { return inner_.Next(); }
  bool Progress(const LeasedUnit& unit, uint64_t bytes) override {
    inner_.Interrupt();
    return inner_.Progress(unit, bytes);
  }
  void Complete(const LeasedUnit& unit, UnitResult result) override {
    inner_.Complete(unit, std::move(result));
  }
  void Fail(const LeasedUnit& unit, absl::Status status) override {
    inner_.Fail(unit, std::move(status));
  }

 private:
  InProcessSource& inner_;
};

TEST(InProcessSourceTest, AnInterruptStopsARunningMerge) {
  TestJob job = MakeJob();
  InProcessSource source(job.context());
  InterruptingSource interrupting(source);
  ASSERT_TRUE(RunUnits(interrupting, Options(2, uint64_t{1} << 30)).ok());
  EXPECT_EQ(source.TakeResults().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(source.progress().units_done, 0u);
}

}  // namespace
}  // namespace merganser
