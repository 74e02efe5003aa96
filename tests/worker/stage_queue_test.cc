#include "worker/stage_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace merganser {
namespace {

TEST(StageQueueTest, FirstInFirstOut) {
  StageQueue<int> queue(3);
  for (int i = 0; i < 3; ++i) queue.Push(i);
  EXPECT_EQ(queue.Pop(), 0);
  queue.Push(3);
  EXPECT_EQ(queue.TryPop(), 1);
  EXPECT_EQ(queue.Pop(), 2);
  EXPECT_EQ(queue.Pop(), 3);
  EXPECT_EQ(queue.TryPop(), std::nullopt);
}

TEST(StageQueueTest, ClosedItDrainsAndThenEnds) {
  StageQueue<int> queue(2);
  EXPECT_FALSE(queue.HasItem());
  EXPECT_FALSE(queue.Closed());
  queue.Push(7);
  EXPECT_TRUE(queue.HasItem());
  queue.Close();
  EXPECT_TRUE(queue.HasItem());
  EXPECT_TRUE(queue.Closed());
  EXPECT_EQ(queue.Pop(), 7);
  EXPECT_FALSE(queue.HasItem());
  EXPECT_EQ(queue.Pop(), std::nullopt);
  EXPECT_EQ(queue.Pop(), std::nullopt);
  queue.Close();
}

TEST(StageQueueTest, CloseWakesAllWhoWait) {
  StageQueue<int> queue(1);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] { EXPECT_EQ(queue.Pop(), std::nullopt); });
  }
  queue.Close();
  for (std::thread& thread : threads) thread.join();
}

TEST(StageQueueTest, PushWaitsWhileItIsFull) {
  StageQueue<int> queue(1);
  queue.Push(1);
  std::atomic<bool> popped = false;
  std::thread producer([&] {
    queue.Push(2);
    EXPECT_TRUE(popped);
  });
  for (int i = 0; i < 1000; ++i) std::this_thread::yield();
  popped = true;
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_EQ(queue.Pop(), 2);
  producer.join();
}

TEST(StageQueueTest, MovesWhatCannotBeCopied) {
  StageQueue<std::unique_ptr<int>> queue(1);
  queue.Push(std::make_unique<int>(5));
  std::optional<std::unique_ptr<int>> item = queue.Pop();
  ASSERT_TRUE(item.has_value());
  EXPECT_EQ(**item, 5);
}

TEST(StageQueueTest, NothingIsLostOrDoubledAmongManyThreads) {
  constexpr uint64_t kEach = 3000;
  StageQueue<uint64_t> queue(3);
  std::atomic<uint64_t> sum = 0, count = 0;
  std::vector<std::thread> producers, consumers;
  for (int t = 0; t < 4; ++t) {
    consumers.emplace_back([&] {
      while (const std::optional<uint64_t> item = queue.Pop()) {
        sum += *item;
        ++count;
      }
    });
    producers.emplace_back([&] {
      for (uint64_t i = 1; i <= kEach; ++i) queue.Push(i);
    });
  }
  for (std::thread& thread : producers) thread.join();
  queue.Close();
  for (std::thread& thread : consumers) thread.join();
  EXPECT_EQ(count, 4 * kEach);
  EXPECT_EQ(sum, 4 * kEach * (kEach + 1) / 2);
}

}  // namespace
}  // namespace merganser
