#include "common/base/private_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr size_t kLimit = 1024;
constexpr char kSecret[] = "a secret of many words";

std::string Message(const absl::Status& status) { return std::string(status.message()); }

class PrivateFileTest : public ::testing::Test {
 protected:
  std::string Written(mode_t mode) {
    const std::string path = dir_.File("secret");
    EXPECT_TRUE(WritePrivateFile(path, kSecret).ok());
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
    return path;
  }

  TempDir dir_;
};

TEST_F(PrivateFileTest, WhatIsWrittenIsReadAndNobodyElseCan) {
  const std::string path = dir_.File("secret");
  const auto stamp = WritePrivateFile(path, kSecret);
  ASSERT_TRUE(stamp.ok()) << stamp.status();
  struct stat st;
  ASSERT_EQ(::stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, mode_t{0600});
  const auto read = ReadPrivateFile(path, kLimit);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->text, kSecret);
  EXPECT_EQ(read->stamp, *stamp);
  EXPECT_EQ(StampOf(path), *stamp);
}

TEST_F(PrivateFileTest, EveryReplacementHasAnotherStamp) {
  const std::string path = dir_.File("secret");
  const auto first = WritePrivateFile(path, "same size 1");
  const auto second = WritePrivateFile(path, "same size 2");
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_NE(*first, *second);
}

TEST_F(PrivateFileTest, AFileThatOthersCanReadOrWriteIsRefusedWithTheRemedy) {
  for (const mode_t mode : {0604, 0602, 0640, 0644, 0660, 0606, 0777}) {
    const std::string path = Written(mode);
    const absl::Status status = ReadPrivateFile(path, kLimit).status();
    EXPECT_TRUE(absl::IsPermissionDenied(status)) << mode << " " << status;
    EXPECT_THAT(Message(status), AllOf(HasSubstr("chmod 600 " + path), Not(HasSubstr(kSecret))));
  }
  EXPECT_TRUE(ReadPrivateFile(Written(0600), kLimit).ok());
  EXPECT_TRUE(ReadPrivateFile(Written(0400), kLimit).ok());
}

TEST_F(PrivateFileTest, AnotherUsersFileIsRefused) {
  std::string path = "/etc/passwd";
  std::string why = "chmod 600";  // root's are refused for their mode alone
  if (::geteuid() == 0) {         // nobody else can give a file away
    path = Written(0600);
    ASSERT_EQ(::chown(path.c_str(), 4242, 4242), 0);
    why = "owned by user 4242";
  }
  const absl::Status status = ReadPrivateFile(path, 1 << 20).status();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(Message(status), HasSubstr(why));
}

TEST_F(PrivateFileTest, WhatIsNoSmallFileIsRefused) {
  EXPECT_TRUE(absl::IsNotFound(ReadPrivateFile(dir_.File("none"), kLimit).status()));
  EXPECT_FALSE(ReadPrivateFile(dir_.path(), kLimit).ok());
  const std::string path = dir_.File("large");
  ASSERT_TRUE(WritePrivateFile(path, std::string(kLimit + 1, 'x')).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(ReadPrivateFile(path, kLimit).status()));
  ASSERT_TRUE(WritePrivateFile(path, std::string(kLimit, 'x')).ok());
  EXPECT_TRUE(ReadPrivateFile(path, kLimit).ok());
  // Nobody writes to it: reading must not wait.
  const std::string pipe = dir_.File("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_TRUE(absl::IsInvalidArgument(ReadPrivateFile(pipe, kLimit).status()));
}

class RuntimeFolderTest : public ::testing::Test {
 protected:
  void SetUp() override { ::setenv("XDG_RUNTIME_DIR", dir_.path().c_str(), 1); }
  void TearDown() override { ::unsetenv("XDG_RUNTIME_DIR"); }

  TempDir dir_;
};

TEST_F(RuntimeFolderTest, IsMadeForThisUserAlone) {
  EXPECT_TRUE(absl::IsNotFound(RuntimeFolder(/*create=*/false).status()));
  const auto made = RuntimeFolder(/*create=*/true);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(*made, dir_.File("merganser"));
  struct stat st;
  ASSERT_EQ(::stat(made->c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, mode_t{0700});
  EXPECT_EQ(*RuntimeFolder(/*create=*/false), *made);
  EXPECT_EQ(*RuntimeFolder(/*create=*/true), *made);
}

TEST_F(RuntimeFolderTest, OneThatOthersCanEnterOrThatIsALinkIsRefused) {
  const std::string folder = *RuntimeFolder(/*create=*/true);
  ASSERT_EQ(::chmod(folder.c_str(), 0750), 0);
  const absl::Status open = RuntimeFolder(/*create=*/true).status();
  EXPECT_TRUE(absl::IsPermissionDenied(open)) << open;
  EXPECT_THAT(Message(open), AllOf(HasSubstr(folder), HasSubstr("0750"), HasSubstr("0700")));
  ASSERT_EQ(::rmdir(folder.c_str()), 0);
  const std::string elsewhere = dir_.File("elsewhere");
  ASSERT_EQ(::mkdir(elsewhere.c_str(), 0700), 0);
  ASSERT_EQ(::symlink(elsewhere.c_str(), folder.c_str()), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(RuntimeFolder(/*create=*/true).status()));
}

TEST_F(RuntimeFolderTest, ARelativeVariableIsIgnored) {
  ::setenv("XDG_RUNTIME_DIR", "relative", 1);
  const auto folder = RuntimeFolder(/*create=*/false);
  const std::string expected = "/tmp/merganser-" + std::to_string(::geteuid());
  // It may be there or not: either answer names it.
  EXPECT_THAT(folder.ok() ? *folder : Message(folder.status()), HasSubstr(expected));
}

}  // namespace
}  // namespace merganser
