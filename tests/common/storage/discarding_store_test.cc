// Large objects go nowhere, small ones are kept.
#include "common/storage/discarding_store.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/storage/list.h"
#include "common/storage/memory/memory_store.h"

namespace merganser {
namespace {

TEST(DiscardingStoreTest, PlannedWritesSucceedAndLeaveNothing) {
  const auto rest = MakeMemoryStore("discarding-test");
  const auto store = MakeDiscardingStore(rest);
  const auto write = store->BeginWrite({"large", uint64_t{1} << 50}, "w");
  ASSERT_TRUE(write.ok()) << write.status();
  const std::vector<std::byte> bytes(1000);
  const auto receipt = store->WriteRange(*write, (uint64_t{1} << 50) - 1000, bytes);
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  EXPECT_TRUE(store->Stands(*write).value());
  EXPECT_TRUE(store->FlushWrite(*write).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(
      store->WriteRange(*write, (uint64_t{1} << 50) - 999, bytes).status()));
  const std::vector<WriteReceipt> whole = {{0, uint64_t{1} << 50, ""}};
  EXPECT_TRUE(store->CommitWrite(*write, whole).ok());
  EXPECT_TRUE(absl::IsDataLoss(store->CommitWrite(*write, std::vector<WriteReceipt>{*receipt})));
  EXPECT_FALSE(store->Stat("large").value().has_value());
  EXPECT_TRUE(absl::IsInvalidArgument(store->BeginWrite({"../large", 1}, "w").status()));
  ASSERT_TRUE(store->Put("small", "text").ok());
  EXPECT_EQ(ListAll(*rest, "").value().size(), 1u);
}

}  // namespace
}  // namespace merganser
