#include "worker/buffer_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace merganser {
namespace {

constexpr uint64_t kSeed = 99;
constexpr uint64_t kKi = 1024, kMi = 1024 * kKi;

TEST(BufferPoolTest, LimitIsNeverExceeded) {
  constexpr uint64_t kLimit = 8 * kMi;
  BufferPool pool(kLimit);
  std::atomic<uint64_t> held = 0, most = 0;
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(kSeed + t);
      for (int i = 0; i < 300; ++i) {
        const uint64_t bytes = random() % (2 * kMi), reserved = random() % (4 * kMi);
        const Buffer buffer = pool.Acquire(bytes, reserved);
        const uint64_t now = held.fetch_add(bytes + reserved) + bytes + reserved;
        for (uint64_t seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
        }
        // Nobody else has this memory.
        if (bytes > 0) {
          std::memset(buffer.data(), static_cast<int>(t), 1);
          std::memset(buffer.data() + bytes - 1, static_cast<int>(t), 1);
          std::this_thread::yield();
          EXPECT_EQ(buffer.data()[0], static_cast<std::byte>(t));
          EXPECT_EQ(buffer.data()[bytes - 1], static_cast<std::byte>(t));
        }
        held.fetch_sub(bytes + reserved);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(most, kLimit) << "seed " << kSeed;
  EXPECT_LE(pool.peak(), kLimit) << "seed " << kSeed;
  EXPECT_GT(pool.peak(), kLimit / 2);
}

TEST(BufferPoolTest, BuffersAreAlignedToAPage) {
  BufferPool pool(64 * kMi);
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{1}, 64 * kKi, 64 * kKi + 1, 17 * kMi}) {
    const Buffer buffer = pool.Acquire(bytes, 0);
    ASSERT_NE(buffer.data(), nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 4096, 0u) << bytes;
    if (bytes > 0) std::memset(buffer.data(), 1, bytes);
  }
}

TEST(BufferPoolTest, AReturnedBufferServesTheNextOfItsSize) {
  BufferPool pool(16 * kMi);
  Buffer first = pool.Acquire(kMi, 0);
  const std::byte* place = first.data();
  first.Release();
  Buffer same = pool.Acquire(kMi, 0);
  EXPECT_EQ(same.data(), place);
  same.Release();
  // A little smaller is near enough, much smaller is not.
  Buffer near = pool.Acquire(kMi * 9 / 10, 0);
  EXPECT_EQ(near.data(), place);
  near.Release();
  Buffer small = pool.Acquire(64 * kKi, 0);
  EXPECT_NE(small.data(), place);
  // Larger never is.
  Buffer larger = pool.Acquire(2 * kMi, 0);
  EXPECT_NE(larger.data(), place);
}

TEST(BufferPoolTest, TwoTakersNeverShareABuffer) {
  BufferPool pool(16 * kMi);
  Buffer a = pool.Acquire(kMi, 0);
  const Buffer b = pool.Acquire(kMi, 0);
  EXPECT_NE(a.data(), b.data());
  a.Release();
  const Buffer c = pool.Acquire(kMi, 0), d = pool.Acquire(kMi, 0);
  EXPECT_NE(c.data(), b.data());
  EXPECT_NE(d.data(), b.data());
  EXPECT_NE(c.data(), d.data());
}

TEST(BufferPoolTest, IdleBuffersMakeRoomForOthers) {
  BufferPool pool(4 * kMi);
  for (int i = 0; i < 4; ++i) {
    Buffer one = pool.Acquire(kMi, 0);
  }
  {
    std::vector<Buffer> four;
    for (int i = 0; i < 4; ++i) four.push_back(pool.Acquire(kMi, 0));
  }
  // All four are idle now; one of another size takes their place.
  const Buffer whole = pool.Acquire(4 * kMi, 0);
  std::memset(whole.data(), 1, 4 * kMi);
  EXPECT_LE(pool.peak(), 4 * kMi);
}

TEST(BufferPoolTest, ReservationsCountAndMakeIdleBuffersGo) {
  BufferPool pool(4 * kMi);
  { const Buffer big = pool.Acquire(3 * kMi, 0); }
  const Buffer small = pool.Acquire(64 * kKi, 3 * kMi);
  EXPECT_LE(pool.peak(), 4 * kMi);
  EXPECT_GE(pool.peak(), 3 * kMi + 64 * kKi);
}

TEST(BufferPoolTest, AnIdleBufferThatIsTooLargeForTheRestIsNotTaken) {
  BufferPool pool(4 * kMi);
  Buffer held = pool.Acquire(kMi, 0);
  { const Buffer idle = pool.Acquire(2 * kMi, 0); }
  // 2 MiB idle would do for 1.5 MiB, but not beside 1.5 MiB of reservation.
  const Buffer tight = pool.Acquire(3 * kMi / 2, 3 * kMi / 2);
  EXPECT_LE(pool.peak(), 4 * kMi);
}

TEST(BufferPoolTest, OneTakerAloneMayExceedTheLimitByRounding) {
  BufferPool small(100);
  { const Buffer buffer = small.Acquire(100, 0); }
  EXPECT_LE(small.peak(), 100 + 2 * kMi);
  BufferPool large(33 * kMi + 5);
  { const Buffer buffer = large.Acquire(33 * kMi + 5, 0); }
  EXPECT_LE(large.peak(), 33 * kMi + 5 + 2 * kMi);
}

TEST(BufferPoolTest, TheNextWaitsForTheOversizedOneToGo) {
  BufferPool pool(100);
  Buffer first = pool.Acquire(100, 0);
  std::atomic<bool> released = false;
  std::thread second([&] {
    const Buffer buffer = pool.Acquire(1, 0);
    EXPECT_TRUE(released);
  });
  for (int i = 0; i < 1000; ++i) std::this_thread::yield();
  released = true;
  first.Release();
  second.join();
}

TEST(BufferPoolTest, ALargeTakerIsNotStarvedBySmallOnes) {
  BufferPool pool(kMi);
  std::atomic<bool> done = false;
  std::vector<std::thread> small;
  for (int t = 0; t < 6; ++t) {
    small.emplace_back([&] {
      while (!done) {
        const Buffer buffer = pool.Acquire(64 * kKi, 128 * kKi);
        std::this_thread::yield();
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    const Buffer all = pool.Acquire(kMi, 0);
  }
  done = true;
  for (std::thread& thread : small) thread.join();
}

TEST(BufferPoolTest, AMovedBufferIsGivenBackOnce) {
  BufferPool pool(kMi);
  Buffer a = pool.Acquire(kMi, 0);
  const std::byte* place = a.data();
  Buffer b = std::move(a);
  EXPECT_EQ(b.data(), place);
  EXPECT_EQ(a.data(), nullptr);
  Buffer& alias = b;
  b = std::move(alias);
  EXPECT_EQ(b.data(), place);
  a.Release();
  b.Release();
  b.Release();
  EXPECT_EQ(b.data(), nullptr);
  // Were it given back twice, two could have it.
  const Buffer c = pool.Acquire(512 * kKi, 0);
  const Buffer d = pool.Acquire(512 * kKi, 0);
  EXPECT_NE(c.data(), d.data());
  Buffer none;
  none.Release();
}

}  // namespace
}  // namespace merganser
