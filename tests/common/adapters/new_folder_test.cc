#include "common/adapters/new_folder.h"

#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "common/adapters/spool_file.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

size_t FilesIn(const std::string& folder) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

TEST(NewFolder, IsThereAsAWhole) {
  const TempDir dir;
  const std::string path = dir.File("a/b/out");
  auto folder = NewFolder::Begin(path, Stores());
  ASSERT_TRUE(folder.ok()) << folder.status();
  ASSERT_TRUE((*folder)->store().Put("file", "text").ok());
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_TRUE((*folder)->Commit().ok());
  EXPECT_TRUE(std::filesystem::exists(path + "/file"));
  EXPECT_EQ(FilesIn(dir.File("a/b")), 1U);
  EXPECT_EQ(FilesIn(path), 1U);
}

TEST(NewFolder, LeavesNothingWhereItIsNotCommitted) {
  const TempDir dir;
  {
    auto folder = NewFolder::Begin(dir.File("out"), Stores());
    ASSERT_TRUE(folder.ok()) << folder.status();
    ASSERT_TRUE((*folder)->store().Put("file", "text").ok());
    EXPECT_EQ(FilesIn(dir.path()), 1U);
  }
  EXPECT_EQ(FilesIn(dir.path()), 0U);
}

TEST(NewFolder, WhatCameInBetweenStays) {
  const TempDir dir;
  for (const bool empty : {true, false}) {
    const std::string path = dir.File(empty ? "empty" : "full");
    auto folder = NewFolder::Begin(path, Stores());
    ASSERT_TRUE(folder.ok()) << folder.status();
    std::filesystem::create_directory(path);
    if (!empty) std::ofstream(path + "/mine") << "mine";
    const absl::Status committed = (*folder)->Commit();
    EXPECT_TRUE(absl::IsAlreadyExists(committed)) << committed;
    EXPECT_EQ(FilesIn(path), empty ? 0U : 1U);
    EXPECT_TRUE(absl::IsAlreadyExists(NewFolder::Begin(path, Stores()).status()));
  }
  EXPECT_EQ(FilesIn(dir.path()), 2U);
}

TEST(FolderAbove, IsTheNearestThatIsThere) {
  const TempDir dir;
  EXPECT_EQ(FolderAbove(dir.File("a/b/c")), dir.path());
  EXPECT_EQ(FolderAbove("/no-such-folder-of-anybody/b"), "/");
}

TEST(SpoolFile, HoldsWhatWasAppendedAndHasNoName) {
  const TempDir dir;
  auto spool = SpoolFile::Make(dir.path());
  ASSERT_TRUE(spool.ok()) << spool.status();
  const std::string one = "one", other = "and another";
  ASSERT_TRUE((*spool)->Append(std::as_bytes(std::span(one))).ok());
  ASSERT_TRUE((*spool)->Append(std::as_bytes(std::span(other))).ok());
  EXPECT_EQ((*spool)->size(), 14U);
  std::string read(8, ' ');
  ASSERT_TRUE((*spool)->Read(2, std::as_writable_bytes(std::span(read))).ok());
  EXPECT_EQ(read, "eand ano");
  EXPECT_FALSE((*spool)->Read(10, std::as_writable_bytes(std::span(read))).ok());
  EXPECT_EQ(FilesIn(dir.path()), 0U);
  const absl::Status missing = SpoolFile::Make(dir.File("none")).status();
  EXPECT_TRUE(absl::IsNotFound(missing)) << missing;
}

}  // namespace
}  // namespace merganser
