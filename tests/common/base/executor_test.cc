#include "common/base/executor.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace merganser {
namespace {

void ExpectEachIndexOnce(Executor& executor, size_t count) {
  std::vector<int> calls(count, 0);  // each block writes its own place, unsynchronised
  executor.ParallelFor(count, [&](size_t i) { ++calls[i]; });
  EXPECT_EQ(calls, std::vector<int>(count, 1)) << count;
}

TEST(SerialExecutor, RunsInOrder) {
  SerialExecutor executor;
  std::vector<size_t> order;
  executor.ParallelFor(5, [&](size_t i) { order.push_back(i); });
  EXPECT_EQ(order, (std::vector<size_t>{0, 1, 2, 3, 4}));
}

TEST(ThreadPool, CallsEachIndexOnce) {
  for (const size_t helpers : {0u, 1u, 3u, 8u}) {
    ThreadPool pool(helpers);
    for (const size_t count : {0u, 1u, 2u, 3u, 100u, 10000u}) ExpectEachIndexOnce(pool, count);
  }
}

TEST(ThreadPool, WithoutHelpersTheCallerDoesItAll) {
  ThreadPool pool(0);
  const std::thread::id self = std::this_thread::get_id();
  pool.ParallelFor(50, [&](size_t) { EXPECT_EQ(std::this_thread::get_id(), self); });
}

TEST(ThreadPool, HelpersTakePart) {
  ThreadPool pool(1);
  // Each block waits for the other: one thread alone would never end.
  std::atomic<int> arrived{0};
  pool.ParallelFor(2, [&](size_t) {
    arrived.fetch_add(1);
    while (arrived.load() < 2) std::this_thread::yield();
  });
  EXPECT_EQ(arrived.load(), 2);
}

TEST(ThreadPool, NestedCallsEnd) {
  for (const size_t helpers : {0u, 1u, 4u}) {
    ThreadPool pool(helpers);
    std::vector<uint64_t> sums(20, 0);
    pool.ParallelFor(sums.size(), [&](size_t i) {
      std::vector<uint64_t> parts(30, 0);
      pool.ParallelFor(parts.size(), [&](size_t j) {
        std::vector<uint64_t> leaves(4, 0);
        pool.ParallelFor(leaves.size(), [&](size_t k) { leaves[k] = i + j + k; });
        parts[j] = std::accumulate(leaves.begin(), leaves.end(), uint64_t{0});
      });
      sums[i] = std::accumulate(parts.begin(), parts.end(), uint64_t{0});
    });
    for (size_t i = 0; i < sums.size(); ++i) {
      EXPECT_EQ(sums[i], 30 * 4 * i + 4 * (29 * 30 / 2) + 30 * 6);
    }
  }
}

TEST(ThreadPool, ManyCallersShareIt) {
  ThreadPool pool(2);
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (size_t round = 0; round < 200; ++round) ExpectEachIndexOnce(pool, 1 + round % 17);
    });
  }
  for (std::thread& caller : callers) caller.join();
}

TEST(ThreadPool, HelpUntilWorksUntilItIsToldToStop) {
  ThreadPool pool(0);
  std::atomic<bool> stop{false};
  std::thread idle([&] { pool.HelpUntil([&] { return stop.load(); }); });
  std::atomic<int> arrived{0};
  pool.ParallelFor(2, [&](size_t) {  // needs the idle thread, as above
    arrived.fetch_add(1);
    while (arrived.load() < 2) std::this_thread::yield();
  });
  stop = true;
  pool.Wake();
  idle.join();
  EXPECT_EQ(arrived.load(), 2);
}

TEST(ThreadPool, HelpUntilAsksBetweenBlocks) {
  ThreadPool pool(0);
  std::atomic<bool> stop{false};
  std::atomic<size_t> done{0};
  std::atomic<bool> helper_left{false};
  std::thread idle([&] {
    pool.HelpUntil([&] { return stop.load(); });
    helper_left = true;
  });
  const std::thread::id helper = idle.get_id();
  pool.ParallelFor(1000, [&](size_t) {
    if (std::this_thread::get_id() == helper) {
      EXPECT_FALSE(stop.exchange(true));  // its first block is its last
    } else {
      while (!stop.load()) std::this_thread::yield();
    }
    ++done;
  });
  idle.join();
  EXPECT_TRUE(helper_left.load());
  EXPECT_EQ(done.load(), 1000u);
}

TEST(ThreadPool, AWakeBeforeTheWaitIsNotLost) {
  ThreadPool pool(0);
  for (int round = 0; round < 500; ++round) {
    std::atomic<bool> stop{false};
    std::thread idle([&] { pool.HelpUntil([&] { return stop.load(); }); });
    stop = true;
    pool.Wake();
    idle.join();
  }
}

// Every call of a block throws; what is left out was left out for good when the
// exception is back, whoever threw it.
TEST(ThreadPool, ABlockThatThrowsThrowsFromTheCall) {
  for (const size_t helpers : {0u, 1u, 7u}) {
    ThreadPool pool(helpers);
    for (int round = 0; round < 200; ++round) {
      std::atomic<size_t> begun{0}, ended{0};
      std::string caught;
      try {
        pool.ParallelFor(1000, [&](size_t i) {
          ++begun;
          if (i % 7 == 3) {
            ++ended;
            throw std::runtime_error("block");
          }
          ++ended;
        });
      } catch (const std::runtime_error& error) {
        caught = error.what();
      }
      EXPECT_EQ(caught, "block");
      EXPECT_EQ(begun.load(), ended.load());
      EXPECT_LT(begun.load(), 1000u);
    }
    ExpectEachIndexOnce(pool, 100);  // it is as good as before
  }
}

TEST(ThreadPool, ANestedBlockThatThrowsThrowsThroughAll) {
  ThreadPool pool(3);
  EXPECT_THROW(pool.ParallelFor(20,
                                [&](size_t) {
                                  pool.ParallelFor(20, [](size_t i) {
                                    if (i == 11) throw std::runtime_error("inner");
                                  });
                                }),
               std::runtime_error);
}

}  // namespace
}  // namespace merganser
