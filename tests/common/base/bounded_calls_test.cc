#include "common/base/bounded_calls.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <new>
#include <stdexcept>
#include <thread>

#include "common/base/mutex.h"
#include "common/base/thread.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// What a call waits for that hangs.
class Gate {
 public:
  void Pass() {
    MutexLock lock(mutex_);
    while (!open_) changed_.Wait(mutex_);
  }
  void Open() {
    MutexLock lock(mutex_);
    open_ = true;
    changed_.NotifyAll();
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool open_ MERGANSER_GUARDED_BY(mutex_) = false;
};

TEST(BoundedCalls, ReturnsWhatTheBodyReturnsOrThrows) {
  BoundedCalls calls(1);
  EXPECT_TRUE(calls.Run(seconds(60), [] { return absl::OkStatus(); }).ok());
  EXPECT_TRUE(absl::IsDataLoss(calls.Run(seconds(60), [] { return absl::DataLossError("d"); })));
  const absl::Status thrown =
      calls.Run(seconds(60), []() -> absl::Status { throw std::runtime_error("r"); });
  EXPECT_TRUE(absl::IsInternal(thrown)) << thrown;
  EXPECT_TRUE(absl::IsResourceExhausted(
      calls.Run(seconds(60), []() -> absl::Status { throw std::bad_alloc(); })));
}

TEST(BoundedCalls, LeavesBehindWhatHangsAndGoesOn) {
  const auto gate = std::make_shared<Gate>();
  BoundedCalls calls(2);
  const auto hang = [gate] {
    gate->Pass();
    return absl::OkStatus();
  };
  for (int i = 0; i < 2; ++i)
    EXPECT_TRUE(absl::IsDeadlineExceeded(calls.Run(milliseconds(20), hang)));
  // All places are held by what may never return: nobody waits for one.
  const MonotonicTime before = SystemClock().Now();
  EXPECT_TRUE(absl::IsResourceExhausted(calls.Run(seconds(60), [] { return absl::OkStatus(); })));
  EXPECT_LT(SystemClock().Now() - before, seconds(30));
  gate->Open();
  absl::Status after;
  for (int tries = 0; tries < 1000; ++tries) {
    after = calls.Run(seconds(60), [] { return absl::OkStatus(); });
    if (after.ok()) break;
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_TRUE(after.ok()) << after;
}

TEST(BoundedCalls, WaitsForAPlaceThatIsOnlyTaken) {
  const auto gate = std::make_shared<Gate>();
  BoundedCalls calls(1);
  std::atomic<int> done{0};
  ThreadGroup group;
  ASSERT_TRUE(group
                  .Start(4,
                         [&] {
                           const absl::Status status = calls.Run(seconds(60), [gate] {
                             gate->Pass();
                             return absl::OkStatus();
                           });
                           if (status.ok()) ++done;
                         })
                  .ok());
  absl::Status late;
  for (int tries = 0; tries < 1000 && late.ok(); ++tries) {
    late = calls.Run(milliseconds(20), [] { return absl::OkStatus(); });
  }
  EXPECT_TRUE(absl::IsResourceExhausted(late)) << late;
  const auto waiting = static_cast<int>(group.size());
  gate->Open();
  EXPECT_TRUE(group.Join().ok());
  EXPECT_EQ(done, waiting);
}

TEST(BoundedCalls, WhoIsGoneIsNotWaitedFor) {
  const auto gate = std::make_shared<Gate>();
  BoundedCalls calls(1);
  std::atomic<int> asked{0};
  const auto began = std::chrono::steady_clock::now();
  const auto blocked = [gate] {
    gate->Pass();
    return absl::OkStatus();
  };
  const absl::Status left = calls.Run(std::chrono::hours(1), blocked, [&] { return ++asked > 2; });
  EXPECT_TRUE(absl::IsCancelled(left)) << left;
  // Nor while it waits for a place; one call holds the only one, though nobody wants its outcome.
  EXPECT_TRUE(absl::IsResourceExhausted(calls.Run(std::chrono::hours(1), blocked)));
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::minutes(1));
  gate->Open();
  // It goes on, and leaves its place when it is over.
  absl::Status next;
  do {
    next = calls.Run(
        std::chrono::hours(1), [] { return absl::OkStatus(); }, [] { return false; });
  } while (absl::IsResourceExhausted(next));
  EXPECT_TRUE(next.ok()) << next;
}

TEST(BoundedCalls, WhatIsLeftBehindKeepsWhatItUses) {
  const auto gate = std::make_shared<Gate>();
  auto seen = std::make_shared<std::atomic<bool>>(false);
  {
    BoundedCalls calls(1);
    EXPECT_FALSE(calls
                     .Run(milliseconds(1),
                          [gate, seen] {
                            gate->Pass();
                            *seen = true;
                            return absl::OkStatus();
                          })
                     .ok());
  }
  EXPECT_FALSE(*seen);
  gate->Open();
  while (!*seen) std::this_thread::yield();
}

}  // namespace
}  // namespace merganser
