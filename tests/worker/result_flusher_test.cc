#include "worker/result_flusher.h"

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/worker_fixture.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::chrono::hours kNever(1);

// Four tensors, of which a shard holds two: two units.
TestJob MakeJob() {
  TinyCheckpoint a;
  for (int t = 0; t < 4; ++t) a.tensors.push_back({absl::StrCat("w", t), DType::kF32, {100}});
  TinyCheckpoint b = a;
  b.seed = 2;
  return TestJob(
      "merge_method: linear\nmodels: [a, b]\nparameters: {weight: 1}\nmax_shard_size: 1000\n",
      {{"a", a}, {"b", b}});
}

UnitResult ResultOf(uint32_t unit, uint32_t round = 0) {
  UnitResult result;
  result.unit = unit;
  result.round = round;
  return result;
}

// What the flusher told, and how many flushes there were before each word.
class Told {
 public:
  explicit Told(TestJob& job) : job_(job) {}

  void Durable(std::vector<UnitResult> results) {
    MutexLock lock(mutex_);
    for (const UnitResult& result : results) units_.push_back(result.unit);
    flushes_ = job_.output().Calls(StoreOp::kFlushWrite).size();
    changed_.NotifyAll();
  }
  void Failed(absl::Status status) {
    MutexLock lock(mutex_);
    failures_.push_back(std::move(status));
    changed_.NotifyAll();
  }
  std::vector<uint32_t> AwaitUnits(size_t count) {
    MutexLock lock(mutex_);
    while (units_.size() < count) changed_.Wait(mutex_);
    return units_;
  }
  absl::Status AwaitFailure() {
    MutexLock lock(mutex_);
    while (failures_.empty()) changed_.Wait(mutex_);
    return failures_.front();
  }
  std::vector<uint32_t> units() {
    MutexLock lock(mutex_);
    return units_;
  }
  size_t flushes() {
    MutexLock lock(mutex_);
    return flushes_;
  }

 private:
  TestJob& job_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<uint32_t> units_ MERGANSER_GUARDED_BY(mutex_);
  std::vector<absl::Status> failures_ MERGANSER_GUARDED_BY(mutex_);
  size_t flushes_ MERGANSER_GUARDED_BY(mutex_) = 0;
};

class ResultFlusherTest : public ::testing::Test {
 protected:
  std::unique_ptr<ResultFlusher> Make(Duration period) {
    return std::make_unique<ResultFlusher>(
        job_.context(), period,
        [this](std::vector<UnitResult> results) { told_.Durable(std::move(results)); },
        [this](absl::Status status) { told_.Failed(std::move(status)); });
  }

  TestJob job_ = MakeJob();
  Told told_{job_};
};

TEST_F(ResultFlusherTest, NobodyIsToldBeforeTheBytesAreDurable) {
  auto flusher = Make(std::chrono::milliseconds(1));
  flusher->Add(ResultOf(1));
  EXPECT_THAT(told_.AwaitUnits(1), ElementsAre(1));
  EXPECT_EQ(told_.flushes(), 1u);
  EXPECT_EQ(job_.output().Calls(StoreOp::kFlushWrite)[0].key, job_.plan().shards[1].key);
}

TEST_F(ResultFlusherTest, UnitsOfOnePeriodShareTheirFlush) {
  auto flusher = Make(kNever);
  flusher->Add(ResultOf(0));
  flusher->Add(ResultOf(0));
  flusher->Add(ResultOf(1));
  EXPECT_THAT(told_.units(), IsEmpty());
  flusher->Hurry();
  told_.AwaitUnits(3);
  EXPECT_EQ(told_.flushes(), 2u);  // one a shard
}

TEST_F(ResultFlusherTest, FinishWaitsForWhatWasAddedOrDropsIt) {
  auto keeping = Make(kNever);
  keeping->Add(ResultOf(0));
  keeping->Finish(/*keep=*/true);
  EXPECT_THAT(told_.units(), ElementsAre(0));
  auto dropping = Make(kNever);
  dropping->Add(ResultOf(1));
  dropping->Finish(/*keep=*/false);
  EXPECT_THAT(told_.units(), ElementsAre(0));
}

TEST_F(ResultFlusherTest, AFlushThatFailsIsToldAndItsUnitsAreNot) {
  job_.output_faults().AddRule(
      {.op = StoreOp::kFlushWrite, .status = absl::ResourceExhaustedError("disk full")});
  auto flusher = Make(std::chrono::milliseconds(1));
  flusher->Add(ResultOf(0));
  EXPECT_TRUE(absl::IsResourceExhausted(told_.AwaitFailure()));
  // The run ends, but not at once: what is still added would only pile up.
  flusher->Add(ResultOf(1));
  EXPECT_EQ(flusher->pending(), 0u);
  flusher->Finish(/*keep=*/true);
  EXPECT_THAT(told_.units(), IsEmpty());
}

}  // namespace
}  // namespace merganser
