// The stores that other tests lean on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "common/storage/memory/memory_store.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/fault_store.h"
#include "tests/testing/recording_store.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;

TEST(FaultStore, FailsTheCallsOfARuleAndNoOthers) {
  FaultStore store(MakeMemoryStore("m"), 1);
  store.AddRule({.op = StoreOp::kPut, .key_contains = "a", .first = 2, .times = 2});
  EXPECT_TRUE(store.Put("a", "1").ok());
  EXPECT_TRUE(store.Put("b", "1").ok());
  EXPECT_EQ(store.Put("a", "2").code(), absl::StatusCode::kUnavailable);
  const absl::Status status = store.Put("xa", "2");
  EXPECT_THAT(std::string(status.message()), HasSubstr("memory://m/xa: Put: injected fault"));
  EXPECT_TRUE(store.Put("a", "3").ok());
  EXPECT_EQ(store.Calls(StoreOp::kPut), 5u);
  EXPECT_EQ(store.Faults(StoreOp::kPut), 2u);
  EXPECT_EQ(store.Calls(StoreOp::kRead), 0u);
}

TEST(FaultStore, BeforeTheWorkNothingHappensAfterItEverything) {
  FaultStore store(MakeMemoryStore("m"), 1);
  store.AddRule({.op = StoreOp::kPutIfAbsent, .key_contains = "before"});
  store.AddRule({.op = StoreOp::kPutIfAbsent,
                 .key_contains = "after",
                 .after_work = true,
                 .status = absl::DeadlineExceededError("lost")});
  EXPECT_FALSE(store.PutIfAbsent("before", "1").ok());
  EXPECT_FALSE(store.Stat("before")->has_value());
  EXPECT_EQ(store.PutIfAbsent("after", "1").status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(store.Stat("after")->has_value());
}

TEST(FaultStore, ProbabilityFollowsTheSeed) {
  const auto run = [](uint64_t seed) {
    FaultStore store(MakeMemoryStore("m"), seed);
    store.AddRule({.op = StoreOp::kPut, .times = kEveryCall, .probability = 0.3});
    std::string outcome;
    for (int i = 0; i < 200; ++i) outcome += store.Put("k", "").ok() ? '.' : 'x';
    return outcome;
  };
  EXPECT_EQ(run(5), run(5));
  EXPECT_NE(run(5), run(6));
  const std::string outcome = run(5);
  const auto faults = std::count(outcome.begin(), outcome.end(), 'x');
  EXPECT_GT(faults, 35);
  EXPECT_LT(faults, 85);
}

TEST(RecordingStore, CountsBytesOfSuccessfulCallsByKey) {
  RecordingStore store(MakeMemoryStore("m"));
  ASSERT_TRUE(store.Put("a", "12345").ok());
  std::byte out[3];
  ASSERT_TRUE(store.Read("a", 2, out, {}).ok());
  EXPECT_FALSE(store.Read("a", 4, out, {}).ok());
  const auto write = store.BeginWrite({"b", 2}, "w");
  const std::byte two[2] = {};
  const auto receipt = store.WriteRange(*write, 0, two);
  ASSERT_TRUE(store.CommitWrite(*write, {&*receipt, 1}).ok());
  EXPECT_EQ(store.BytesRead(), 3u);
  EXPECT_EQ(store.BytesRead("b"), 0u);
  EXPECT_EQ(store.BytesWritten("a"), 5u);
  EXPECT_EQ(store.BytesWritten(), 7u);
  const std::vector<StoreCall> reads = store.Calls(StoreOp::kRead);
  ASSERT_EQ(reads.size(), 2u);
  EXPECT_EQ(reads[0].offset, 2u);
  EXPECT_FALSE(reads[1].ok);
  EXPECT_EQ(store.Calls().size(), 6u);
  store.Clear();
  EXPECT_TRUE(store.Calls().empty());
}

TEST(FakeClock, MovesOnlyWhenTold) {
  FakeClock clock;
  const MonotonicTime now = clock.Now();
  const WallTime wall = clock.WallNow();
  EXPECT_EQ(clock.Now(), now);
  clock.Advance(std::chrono::seconds(5));
  EXPECT_EQ(clock.Now() - now, std::chrono::seconds(5));
  EXPECT_EQ(clock.WallNow() - wall, std::chrono::seconds(5));
  clock.SetWall(wall);
  EXPECT_EQ(clock.WallNow(), wall);
  EXPECT_EQ(clock.Now() - now, std::chrono::seconds(5));
}

}  // namespace
}  // namespace merganser
