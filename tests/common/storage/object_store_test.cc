#include "common/storage/object_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace merganser {
namespace {

using ::testing::HasSubstr;

TEST(ValidateKey, AcceptsDotsInsideSegments) {
  for (const char* key : {"a", "a/b", ".merganser/claim", "a..b", "...", "a/.hidden", "ä b"}) {
    EXPECT_TRUE(ValidateKey(key).ok()) << key;
  }
  EXPECT_THAT(std::string(ValidateKey("a\n/../b").message()), HasSubstr("\"a?/../b\""));
}

absl::Status Cover(std::vector<WriteReceipt> receipts, uint64_t size) {
  return CheckCoverage(receipts, size, "object");
}

TEST(CheckCoverage, NeedsEveryByteAndMindsNoOverlap) {
  EXPECT_TRUE(Cover({}, 0).ok());
  EXPECT_TRUE(Cover({{0, 0, ""}}, 0).ok());
  EXPECT_TRUE(Cover({{5, 5, ""}, {0, 5, ""}}, 10).ok());
  EXPECT_TRUE(Cover({{0, 10, ""}, {2, 3, ""}, {0, 10, ""}}, 10).ok());
  EXPECT_EQ(Cover({}, 1).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Cover({{0, 4, ""}, {5, 5, ""}}, 10).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Cover({{0, 9, ""}}, 10).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Cover({{1, 9, ""}}, 10).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Cover({{0, 11, ""}}, 10).code(), absl::StatusCode::kDataLoss);
  // A sum that wraps must not look like coverage.
  EXPECT_EQ(Cover({{5, ~uint64_t{0}, ""}}, 10).code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(Cover({{0, 4, ""}, {5, 5, ""}}, 10).message()),
              HasSubstr("object: bytes 4 to 5 of 10"));
}

}  // namespace
}  // namespace merganser
