#include "worker/progress_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/worker/slow_store.h"
#include "tests/worker/worker_fixture.h"

namespace merganser {
namespace {

constexpr Duration kAtOnce = std::chrono::milliseconds(1);
constexpr Duration kNever = std::chrono::hours(1);
constexpr std::chrono::seconds kLimit{60};

// Two shards or more, whose flushes and records are counted.
class ProgressKeeperTest : public ::testing::Test {
 protected:
  ProgressKeeperTest() : job_(kAverage, TwoModels(5, 200)) {}

  UnitResult ResultOf(uint32_t unit) {
    UnitResult result;
    result.unit = unit;
    result.segment_digests.resize(job_.plan().units[unit].segments.size(), std::string(32, 'a'));
    return result;
  }
  ProgressLog Log() { return ProgressLog(job_.context()->output, "test", 1, job_.plan()); }
  ProgressLog BegunLog() {
    ProgressLog log = Log();
    EXPECT_TRUE(log.Begin().ok());
    return log;
  }
  std::vector<uint32_t> OnRecord() {
    std::vector<uint32_t> units;
    const auto recorded = ReadProgress(*job_.context()->output, "test", job_.plan(), 0);
    EXPECT_TRUE(recorded.ok()) << recorded.status();
    if (!recorded.ok()) return units;
    for (const UnitResult& result : recorded->results) units.push_back(result.unit);
    return units;
  }
  void AwaitRecords(size_t units) {
    const auto deadline = std::chrono::steady_clock::now() + kLimit;
    while (OnRecord().size() < units) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "no record in time";
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  TestJob job_;
};

TEST_F(ProgressKeeperTest, PutsUnitsOnRecordAfterTheirBytesAreDurable) {
  ProgressKeeper keeper(job_.context(), BegunLog(), {.period = kAtOnce},
                        [](const absl::Status& status) { FAIL() << status; });
  const uint64_t flushes = job_.output_faults().Calls(StoreOp::kFlushWrite);
  keeper.Add(ResultOf(2));
  keeper.Add(ResultOf(4));
  AwaitRecords(2);
  EXPECT_THAT(OnRecord(), ::testing::ElementsAre(2, 4));
  EXPECT_GE(job_.output_faults().Calls(StoreOp::kFlushWrite) - flushes, 1u);
  EXPECT_TRUE(keeper.Finish(true));
}

TEST_F(ProgressKeeperTest, AShortRunLeavesNoRecord) {
  ProgressKeeper keeper(job_.context(), BegunLog(), {.period = kNever},
                        [](const absl::Status& status) { FAIL() << status; });
  keeper.Add(ResultOf(0));
  EXPECT_FALSE(keeper.Finish(true));
  EXPECT_TRUE(OnRecord().empty());
}

TEST_F(ProgressKeeperTest, ALongOnePutsItsLastUnitsOnRecordToo) {
  ProgressKeeper keeper(job_.context(), BegunLog(), {.period = kNever, .earlier = true},
                        [](const absl::Status& status) { FAIL() << status; });
  keeper.Add(ResultOf(0));
  keeper.Add(ResultOf(3));
  EXPECT_TRUE(keeper.Finish(true));
  EXPECT_TRUE(keeper.status().ok()) << keeper.status();
  EXPECT_THAT(OnRecord(), ::testing::ElementsAre(0, 3));
}

TEST_F(ProgressKeeperTest, WhatWasDurableWhenItWasToldIsNotFlushedAgain) {
  ProgressKeeper keeper(job_.context(), BegunLog(), {.period = kAtOnce, .told_when_durable = true},
                        [](const absl::Status& status) { FAIL() << status; });
  keeper.Add(ResultOf(1));
  AwaitRecords(1);
  EXPECT_TRUE(keeper.Finish(true));
  EXPECT_EQ(job_.output_faults().Calls(StoreOp::kFlushWrite), 0u);
}

TEST_F(ProgressKeeperTest, ResultsAreGivenTheTimeThatMadeThemDurable) {
  std::shared_ptr<ObjectStore>& output = job_.context()->output;
  output = std::make_shared<SlowStore>(output, StoreOp::kFlushWrite, std::chrono::milliseconds(20));
  ProgressKeeper keeper(job_.context(), BegunLog(), {.period = kAtOnce},
                        [](const absl::Status& status) { FAIL() << status; });
  keeper.Add(ResultOf(1));
  AwaitRecords(1);
  EXPECT_TRUE(keeper.Finish(true));
  std::vector<UnitResult> results = {ResultOf(0), ResultOf(1)};
  results[1].stages.flush = 1;
  keeper.AddFlushTimes(results);
  EXPECT_EQ(results[0].stages.flush, 0);
  EXPECT_GE(results[1].stages.flush, 1.02);
  // And so it is on record.
  const auto recorded = ReadProgress(*job_.context()->output, "test", job_.plan(), 0);
  ASSERT_TRUE(recorded.ok()) << recorded.status();
  EXPECT_GE(recorded->results.at(0).stages.flush, 0.02);
}

// A store tells a failed flush once: what publishes afterwards would not see it.
TEST_F(ProgressKeeperTest, TheLastUnitsThatCouldNotBeMadeDurableFailTheRun) {
  FaultRule rule;
  rule.op = StoreOp::kFlushWrite;
  rule.times = 1;
  ProgressKeeper keeper(job_.context(), BegunLog(), {.period = kNever, .earlier = true},
                        [](const absl::Status& status) { FAIL() << status; });
  keeper.Add(ResultOf(0));
  job_.output_faults().AddRule(rule);
  EXPECT_TRUE(keeper.Finish(true));
  EXPECT_TRUE(absl::IsUnavailable(keeper.status())) << keeper.status();
  EXPECT_TRUE(OnRecord().empty());
}

TEST_F(ProgressKeeperTest, WhatCouldNotBeMadeDurableIsNotPutOnRecordAndEndsTheRun) {
  for (const StoreOp op : {StoreOp::kFlushWrite, StoreOp::kPutIfAbsent}) {
    ProgressLog log = BegunLog();
    FaultRule rule;
    rule.op = op;
    rule.times = kEveryCall;
    job_.output_faults().AddRule(rule);
    std::promise<absl::Status> failed;
    ProgressKeeper keeper(job_.context(), std::move(log), {.period = kAtOnce},
                          [&](absl::Status status) { failed.set_value(std::move(status)); });
    keeper.Add(ResultOf(1));
    std::future<absl::Status> status = failed.get_future();
    ASSERT_EQ(status.wait_for(kLimit), std::future_status::ready);
    EXPECT_TRUE(absl::IsUnavailable(status.get()));
    keeper.Add(ResultOf(2));
    EXPECT_FALSE(keeper.Finish(true));
    EXPECT_TRUE(absl::IsUnavailable(keeper.status()));
    job_.output_faults().ClearRules();
    EXPECT_TRUE(OnRecord().empty());
  }
}

}  // namespace
}  // namespace merganser
