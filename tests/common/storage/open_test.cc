#include "common/storage/open.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;

TEST(OpenStore, AMemoryNameIsOneStore) {
  ASSERT_TRUE((*OpenStore("memory://open-test"))->Put("k", "v").ok());
  EXPECT_TRUE((*OpenStore("memory://open-test"))->Stat("k")->has_value());
  EXPECT_FALSE((*OpenStore("memory://open-test-2"))->Stat("k")->has_value());
}

TEST(OpenStore, AFileStoreNamesAbsolutePaths) {
  const TempDir dir;
  const auto store = OpenStore("file://" + dir.path() + "/");
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->Describe("a/b"), dir.File("a/b"));
  EXPECT_EQ((*store)->Describe(""), dir.path());
  EXPECT_TRUE(OpenStore("/does/not/exist").ok());
  EXPECT_EQ((*OpenStore("/"))->Describe("a"), "/a");
}

TEST(OpenStore, OtherSchemesAreRefusedWithTheListOfThoseThereAre) {
  const auto store = OpenStore("gopher://x");
  EXPECT_EQ(store.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("\"gopher\""));
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("file, memory"));
  EXPECT_EQ(OpenStore("relative/path").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(OpenStore("").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace merganser
