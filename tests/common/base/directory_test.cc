#include "common/base/directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

TEST(Directory, NamesFilesAndFoldersButNotItselfAndItsParent) {
  const TempDir dir;
  std::ofstream(dir.path() + "/.hidden");
  std::filesystem::create_directory(dir.path() + "/folder");
  std::filesystem::create_symlink("nowhere", dir.path() + "/link");
  Directory directory(dir.path());
  std::vector<std::string> names;
  while (const char* const name = directory.Next()) names.push_back(name);
  EXPECT_THAT(names, ::testing::UnorderedElementsAre(".hidden", "folder", "link"));
  EXPECT_EQ(directory.error(), 0);
  EXPECT_EQ(directory.Next(), nullptr);
}

TEST(Directory, SaysWhyThereIsNone) {
  const TempDir dir;
  Directory missing(dir.path() + "/missing");
  EXPECT_EQ(missing.Next(), nullptr);
  EXPECT_EQ(missing.error(), ENOENT);
  std::ofstream(dir.path() + "/file");
  Directory file(dir.path() + "/file");
  EXPECT_EQ(file.error(), ENOTDIR);
}

}  // namespace
}  // namespace merganser
