#include "worker/durable_batcher.h"

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/slow_store.h"
#include "tests/worker/worker_fixture.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::chrono::hours kNever(1);

// Four tensors, of which a shard holds two: two units.
TestJob MakeJob() { return TestJob(kAverage, TwoModels(4, 100)); }

// What the batcher told, and how many flushes there were before each word.
class Told {
 public:
  explicit Told(TestJob& job) : job_(job) {}

  void Settled(std::span<WrittenUnit> batch) {
    MutexLock lock(mutex_);
    for (const WrittenUnit& written : batch) {
      (written.status.ok() ? durable_ : failed_).push_back(written.result.unit);
      if (!written.status.ok()) failure_ = written.status;
    }
    flushes_ = job_.output().Calls(StoreOp::kFlushWrite).size();
    changed_.NotifyAll();
  }
  void Await(size_t units) {
    MutexLock lock(mutex_);
    while (durable_.size() + failed_.size() < units) changed_.Wait(mutex_);
  }
  std::vector<uint32_t> durable() {
    MutexLock lock(mutex_);
    return durable_;
  }
  std::vector<uint32_t> failed() {
    MutexLock lock(mutex_);
    return failed_;
  }
  absl::Status failure() {
    MutexLock lock(mutex_);
    return failure_;
  }
  size_t flushes() {
    MutexLock lock(mutex_);
    return flushes_;
  }

 private:
  TestJob& job_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<uint32_t> durable_ MERGANSER_GUARDED_BY(mutex_);
  std::vector<uint32_t> failed_ MERGANSER_GUARDED_BY(mutex_);
  absl::Status failure_ MERGANSER_GUARDED_BY(mutex_);
  size_t flushes_ MERGANSER_GUARDED_BY(mutex_) = 0;
};

class DurableBatcherTest : public ::testing::Test {
 protected:
  std::unique_ptr<DurableBatcher> Make(Duration period) {
    return std::make_unique<DurableBatcher>(
        period, [this](std::span<WrittenUnit> batch) { told_.Settled(batch); });
  }
  // As it begins now.
  LeasedUnit Begin(DurableBatcher& batcher, uint32_t unit) {
    LeasedUnit begun;
    begun.job = job_.context();
    begun.unit = unit;
    begun.failed_flushes = batcher.FailedFlushes(*begun.job, unit);
    return begun;
  }
  static void End(DurableBatcher& batcher, LeasedUnit unit) {
    UnitResult result;
    result.unit = unit.unit;
    batcher.Add({std::move(unit), std::move(result)});
  }
  void Do(DurableBatcher& batcher, uint32_t unit) { End(batcher, Begin(batcher, unit)); }
  void FailNextFlush() {
    job_.output_faults().AddRule({.op = StoreOp::kFlushWrite,
                                  .first = job_.output_faults().Calls(StoreOp::kFlushWrite) + 1,
                                  .status = absl::ResourceExhaustedError("disk full")});
  }

  TestJob job_ = MakeJob();
  Told told_{job_};
};

TEST_F(DurableBatcherTest, NobodyIsToldBeforeTheBytesAreDurable) {
  auto batcher = Make(std::chrono::milliseconds(1));
  Do(*batcher, 1);
  told_.Await(1);
  EXPECT_THAT(told_.durable(), ElementsAre(1));
  EXPECT_EQ(told_.flushes(), 1u);
  EXPECT_EQ(job_.output().Calls(StoreOp::kFlushWrite)[0].key, job_.plan().shards[1].key);
}

TEST_F(DurableBatcherTest, UnitsOfOnePeriodShareTheirFlush) {
  auto batcher = Make(kNever);
  Do(*batcher, 0);
  Do(*batcher, 0);
  Do(*batcher, 1);
  EXPECT_THAT(told_.durable(), IsEmpty());
  batcher->Hurry();
  told_.Await(3);
  EXPECT_EQ(told_.flushes(), 2u);  // one a shard
}

TEST_F(DurableBatcherTest, UnitsShareTheTimeOfTheirFlush) {
  constexpr auto kSlow = std::chrono::milliseconds(30);
  std::shared_ptr<ObjectStore>& output = job_.context()->output;
  output = std::make_shared<SlowStore>(output, StoreOp::kFlushWrite, kSlow);
  const auto registry = std::make_shared<MetricRegistry>();
  std::vector<double> flush(2);
  DurableBatcher batcher(
      kNever,
      [&](std::span<WrittenUnit> batch) {
        for (const WrittenUnit& written : batch) {
          flush[written.result.unit] += written.result.stages.flush;
        }
      },
      registry);
  for (const uint32_t unit : {0u, 0u, 1u}) Do(batcher, unit);
  EXPECT_EQ(flush, (std::vector<double>{0, 0}));
  batcher.Stop();
  batcher.SettleRest();
  // Two of one shard have half of its flush each.
  EXPECT_GE(flush[0], 0.03);
  EXPECT_GE(flush[1], 0.03);
  double counted = 0;
  for (const MetricFamily& family : registry->Snapshot()) {
    if (family.name != "merganser_worker_stage_seconds_total") continue;
    for (const MetricSample& sample : family.samples) {
      if (sample.labels == std::vector<std::string>{"flush"}) counted = sample.value;
    }
  }
  EXPECT_NEAR(counted, flush[0] + flush[1], 1e-3);
}

TEST_F(DurableBatcherTest, WhatIsLeftIsSettledOrToldToNobody) {
  auto keeping = Make(kNever);
  Do(*keeping, 0);
  keeping->Stop();
  EXPECT_THAT(told_.durable(), IsEmpty());
  keeping->SettleRest();
  EXPECT_THAT(told_.durable(), ElementsAre(0));
  auto dropping = Make(kNever);
  Do(*dropping, 1);
  dropping.reset();
  EXPECT_THAT(told_.durable(), ElementsAre(0));
}

TEST_F(DurableBatcherTest, WhatIsDurableNeedsNoFlush) {
  auto batcher = Make(Duration::zero());
  batcher->Add({.unit = Begin(*batcher, 0), .durable = true});
  told_.Await(1);
  EXPECT_THAT(told_.durable(), ElementsAre(0));
  EXPECT_EQ(told_.flushes(), 0u);
}

TEST_F(DurableBatcherTest, AFlushThatFailsFailsWhatHadBegunByThenAndNothingElse) {
  auto batcher = Make(Duration::zero());
  // Of the same shard, begun before the flush and written after it.
  const LeasedUnit begun = Begin(*batcher, 0);
  FailNextFlush();
  Do(*batcher, 0);
  told_.Await(1);
  EXPECT_THAT(told_.failed(), ElementsAre(0));
  EXPECT_TRUE(absl::IsResourceExhausted(told_.failure())) << told_.failure();
  End(*batcher, begun);
  told_.Await(2);
  EXPECT_THAT(told_.failed(), ElementsAre(0, 0));
  // Of another shard; and of the same, begun since.
  Do(*batcher, 1);
  Do(*batcher, 0);
  told_.Await(4);
  EXPECT_THAT(told_.durable(), ::testing::UnorderedElementsAre(0, 1));
}

}  // namespace
}  // namespace merganser
