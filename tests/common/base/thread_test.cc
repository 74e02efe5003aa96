#include "common/base/thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <new>
#include <stdexcept>
#include <thread>
#include <utility>

namespace merganser {
namespace {

TEST(ThreadTest, RunsItsBodyAndIsJoined) {
  std::atomic<bool> ran = false;
  absl::StatusOr<Thread> thread = Thread::Start([&] { ran = true; });
  ASSERT_TRUE(thread.ok()) << thread.status();
  EXPECT_TRUE(thread->joinable());
  EXPECT_TRUE(thread->Join().ok());
  EXPECT_TRUE(ran);
  EXPECT_FALSE(thread->joinable());
  EXPECT_TRUE(thread->Join().ok());
}

TEST(ThreadTest, WhatItsBodyThrowsIsHowItEnded) {
  absl::StatusOr<Thread> thread = Thread::Start([] { throw std::bad_alloc(); });
  ASSERT_TRUE(thread.ok());
  EXPECT_TRUE(absl::IsResourceExhausted(thread->Join()));
  {
    absl::StatusOr<Thread> unjoined = Thread::Start([] { throw std::logic_error("x"); });
  }
}

TEST(ThreadTest, UnwindingJoins) {
  std::atomic<bool> stop = false, ended = false;
  try {
    struct Stop {
      std::atomic<bool>& flag;
      ~Stop() { flag = true; }
    };
    const absl::StatusOr<Thread> thread = Thread::Start([&] {
      while (!stop) std::this_thread::yield();
      ended = true;
    });
    ASSERT_TRUE(thread.ok());
    const Stop stops{stop};
    throw std::runtime_error("unwinds");
  } catch (const std::runtime_error&) {
    EXPECT_TRUE(ended);
  }
}

TEST(ThreadTest, AssigningJoinsWhatWasHeld) {
  std::atomic<int> ended = 0;
  absl::StatusOr<Thread> first = Thread::Start([&] { ++ended; });
  absl::StatusOr<Thread> second = Thread::Start([] {});
  ASSERT_TRUE(first.ok() && second.ok());
  *first = *std::move(second);
  EXPECT_EQ(ended, 1);
}

TEST(ThreadGroupTest, RunsAsManyAsAreWantedAndTellsTheFirstException) {
  std::atomic<int> ran = 0;
  ThreadGroup group;
  ASSERT_TRUE(group
                  .Start(5,
                         [&] {
                           if (++ran == 3) throw std::bad_alloc();
                         })
                  .ok());
  EXPECT_EQ(group.size(), 5u);
  EXPECT_TRUE(absl::IsResourceExhausted(group.Join()));
  EXPECT_EQ(ran, 5);
  EXPECT_EQ(group.size(), 0u);
}

}  // namespace
}  // namespace merganser
