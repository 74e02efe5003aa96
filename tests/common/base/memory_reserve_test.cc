#include "common/base/memory_reserve.h"

#include <gtest/gtest.h>

#include <new>

#include "common/base/guarded.h"

namespace merganser {
namespace {

TEST(MemoryReserve, OneAllocationGoesOnThenOthersThrowUntilItIsTakenAgain) {
  KeepMemoryReserve();
  const std::new_handler spend = std::get_new_handler();
  ASSERT_NE(spend, nullptr);
  for (int i = 0; i < 3; ++i) {
    EXPECT_NO_THROW(spend());  // operator new tries again
    EXPECT_THROW(spend(), std::bad_alloc);
    EXPECT_THROW(spend(), std::bad_alloc);  // there is nothing left
    EXPECT_TRUE(absl::IsResourceExhausted(Guarded([&] { spend(); })));
  }
  std::set_new_handler(nullptr);
}

TEST(MemoryReserve, IsNotTakenUnasked) {
  RefillMemoryReserve();
  EXPECT_EQ(std::get_new_handler(), nullptr);
}

}  // namespace
}  // namespace merganser
