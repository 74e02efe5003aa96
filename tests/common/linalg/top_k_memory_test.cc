// TopKWorkspaceBytes is a bound: every allocation of the solver is counted.
#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#include "common/base/executor.h"
#include "common/linalg/low_rank_triplets.h"
#include "common/linalg/top_k.h"
#include "tests/common/linalg/linalg_testing.h"

namespace {

std::atomic<int64_t> live{0}, peak{0};
constexpr size_t kHeader = 64;  // keeps the alignment that new promises

void* Count(size_t size) {
  auto* p = static_cast<std::byte*>(std::malloc(size + kHeader));
  if (p == nullptr) std::abort();
  new (p) size_t(size);
  const int64_t now = live += static_cast<int64_t>(size);
  int64_t seen = peak;
  while (now > seen && !peak.compare_exchange_weak(seen, now)) {
  }
  return p + kHeader;
}
void Release(void* user) noexcept {
  if (user == nullptr) return;
  auto* p = static_cast<std::byte*>(user) - kHeader;
  live -= static_cast<int64_t>(*reinterpret_cast<size_t*>(p));
  std::free(p);
}

}  // namespace

void* operator new(size_t size) { return Count(size); }
void* operator new[](size_t size) { return Count(size); }
void operator delete(void* p) noexcept { Release(p); }
void operator delete[](void* p) noexcept { Release(p); }
void operator delete(void* p, size_t) noexcept { Release(p); }
void operator delete[](void* p, size_t) noexcept { Release(p); }

namespace merganser {
namespace {

TEST(TopKMemory, PeakStaysBelowTheStatedBound) {
  struct {
    int64_t rows, cols;
    int k;
  } const cases[] = {{1, 1, 1},      {60, 60, 2},    {70, 70, 1},   {300, 200, 1},
                     {300, 200, 16}, {16, 3000, 16}, {3000, 16, 4}, {900, 700, 1},
                     {500, 700, 8},  {1, 20000, 1},  {20000, 1, 1}};
  for (const auto& c : cases) {
    const auto size = static_cast<uint64_t>(c.rows * c.cols);
    // White noise: the longest iterations, restarts among them. Pairs of bf16
    // have a phase in float32 as well.
    for (const DType base : {DType::kF64, DType::kBF16}) {
      const Problem p(base, DType::kBF16, c.rows, c.cols, RandomValues(1, size, 0.01), 0.02);
      ThreadPool pool(3);
      const int64_t before = live;
      peak = before;
      const auto result = ComputeTopK(p.Delta(), {.k = c.k, .seed = 0}, pool);
      const int64_t used = peak - before;
      ASSERT_TRUE(result.ok());
      EXPECT_LE(static_cast<uint64_t>(used), TopKWorkspaceBytes(c.rows, c.cols, c.k))
          << c.rows << " x " << c.cols << ", k " << c.k << ", " << DTypeName(base);
    }
  }
}

TEST(LowRankTopKMemory, PeakStaysBelowTheStatedBound) {
  struct {
    int64_t rows, cols;
    size_t rank;
    int k;
  } const cases[] = {{1, 1, 1, 1},       {60, 60, 2, 4},     {300, 200, 16, 1},
                     {300, 200, 16, 16}, {16, 3000, 40, 16}, {3000, 16, 4, 4},
                     {900, 700, 64, 1},  {5, 7, 100, 5},     {1, 20000, 1, 1}};
  for (const auto& c : cases) {
    FactoredDelta delta;
    delta.height = c.rows;
    delta.width = c.cols;
    delta.scales.assign(c.rank, 1.0);
    delta.rows = RandomValues(1, c.rank * static_cast<uint64_t>(c.rows));
    delta.columns = RandomValues(2, c.rank * static_cast<uint64_t>(c.cols));
    ThreadPool pool(3);
    const int64_t before = live;
    peak = before;
    const auto result = LowRankTopK(delta, c.k, pool);
    const int64_t used = peak - before;
    ASSERT_TRUE(result.ok()) << result.status();
    const auto sides = static_cast<uint64_t>(c.k * (c.rows + c.cols + 1));
    EXPECT_LE(static_cast<uint64_t>(used), LowRankTopKBytes(static_cast<uint64_t>(c.rows),
                                                            static_cast<uint64_t>(c.cols), c.rank) +
                                               sides * sizeof(double))
        << c.rows << " x " << c.cols << ", rank " << c.rank << ", k " << c.k;
  }
}

TEST(TopKMemory, BoundStaysFarBelowTheMatrixForLargeShapes) {
  const uint64_t pair = uint64_t{18944} * 3584 * 2 * 2;
  EXPECT_LT(TopKWorkspaceBytes(18944, 3584, 1), pair / 10);
  EXPECT_LT(TopKWorkspaceBytes(3584, 18944, 1), pair / 2);
}

}  // namespace
}  // namespace merganser
