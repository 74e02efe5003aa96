#include "common/storage/stores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;

TEST(Stores, AMemoryNameIsOneStore) {
  ASSERT_TRUE((*Stores().Open("memory://open-test"))->Put("k", "v").ok());
  EXPECT_TRUE((*Stores().Open("memory://open-test"))->Stat("k")->has_value());
  EXPECT_FALSE((*Stores().Open("memory://open-test-2"))->Stat("k")->has_value());
}

TEST(Stores, AFileStoreNamesAbsolutePaths) {
  const TempDir dir;
  const auto store = Stores().Open("file://" + dir.path() + "/");
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->Describe("a/b"), dir.File("a/b"));
  EXPECT_EQ((*store)->Describe(""), dir.path());
  EXPECT_TRUE(Stores().Open("/does/not/exist").ok());
  EXPECT_EQ((*Stores().Open("/"))->Describe("a"), "/a");
}

TEST(Stores, OtherSchemesAreRefusedWithTheListOfThoseThereAre) {
  const auto store = Stores().Open("gopher://x");
  EXPECT_EQ(store.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("\"gopher\""));
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("file, memory"));
  EXPECT_EQ(Stores().Open("relative/path").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Stores().Open("").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace merganser
