// What is particular to files: see common/storage/file/README.md.
#include "common/storage/file/file_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "common/base/status.h"
#include "common/storage/list.h"
#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FileStoreTest : public ::testing::Test {
 protected:
  void WriteFile(const std::string& name, std::string_view bytes) {
    std::ofstream(dir_.File(name), std::ios::binary) << bytes;
  }
  absl::Status Read(std::string_view key, std::string& out, std::string_view if_match = {}) {
    return store_->Read(key, 0, std::as_writable_bytes(std::span(out)), if_match);
  }
  std::string Identity(std::string_view key) { return (*store_->Stat(key))->identity; }
  std::vector<std::string> Files() {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(dir_.path())) {
      if (!entry.is_directory()) names.push_back(entry.path().lexically_relative(dir_.path()));
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  const TempDir dir_;
  const std::shared_ptr<ObjectStore> store_ = MakeFileStore(dir_.path());
};

TEST_F(FileStoreTest, AChangedFileIsNoticedAlsoThroughAnOpenDescriptor) {
  WriteFile("k", "0123");
  std::string out(4, '\0');
  const std::string identity = Identity("k");
  ASSERT_TRUE(Read("k", out, identity).ok());

  {  // appended to
    std::ofstream(dir_.File("k"), std::ios::app) << "4";
    EXPECT_EQ(Read("k", out, identity).code(), absl::StatusCode::kDataLoss);
  }
  {  // touched: the same size and inode
    const std::string before = Identity("k");
    ASSERT_TRUE(Read("k", out, before).ok());
    const timespec times[2] = {{1000, 0}, {1000, 1}};
    ASSERT_EQ(::utimensat(AT_FDCWD, dir_.File("k").c_str(), times, 0), 0);
    EXPECT_EQ(Read("k", out, before).code(), absl::StatusCode::kDataLoss);
  }
  {  // replaced by a file of the same size and time
    const std::string before = Identity("k");
    ASSERT_TRUE(Read("k", out, before).ok());
    WriteFile("other", "abcde");
    const timespec times[2] = {{1000, 0}, {1000, 1}};
    ASSERT_EQ(::utimensat(AT_FDCWD, dir_.File("other").c_str(), times, 0), 0);
    fs::rename(dir_.File("other"), dir_.File("k"));
    EXPECT_EQ(Read("k", out, before).code(), absl::StatusCode::kDataLoss);
    ASSERT_TRUE(Read("k", out).ok());
    EXPECT_EQ(out, "abcd");  // not the bytes of the descriptor that was cached
  }
  {  // cut short, read without an identity
    fs::resize_file(dir_.File("k"), 3);
    const absl::Status status = Read("k", out);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(status.message()), HasSubstr("has 3 bytes"));
  }
  fs::remove(dir_.File("k"));
  EXPECT_EQ(Read("k", out).code(), absl::StatusCode::kNotFound);
}

// As after a share was mounted anew: the path is fine, the descriptor never answers again.
TEST_F(FileStoreTest, ADescriptorThatDiedIsDropped) {
  WriteFile("k", "0123");
  std::string out(4, '\0');
  const std::string identity = Identity("k");
  ASSERT_TRUE(Read("k", out, identity).ok());
  int dead = 0;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    if (fs::read_symlink(entry, ignored) == dir_.File("k")) {
      dead = std::stoi(entry.path().filename());
    }
  }
  ASSERT_GT(dead, 2);
  ASSERT_EQ(::close(dead), 0);
  out.clear();
  out.resize(4);
  const absl::Status read = Read("k", out, identity);
  EXPECT_TRUE(read.ok()) << read;
  EXPECT_EQ(out, "0123");
}

// Shares go and come back; inputs that somebody removes in the middle of a merge are rare.
TEST_F(FileStoreTest, WhatVanishesAfterItWasOpenedIsUnavailable) {
  WriteFile("k", "0123");
  std::string out(4, '\0');
  const std::string identity = Identity("k");
  fs::rename(dir_.path(), dir_.path() + "-gone");
  const absl::Status read = Read("k", out, identity);
  EXPECT_EQ(read.code(), absl::StatusCode::kUnavailable) << read;
  EXPECT_THAT(std::string(read.message()), HasSubstr("is its storage gone?"));
  EXPECT_EQ(Read("k", out).code(), absl::StatusCode::kNotFound);
  fs::rename(dir_.path() + "-gone", dir_.path());
  EXPECT_TRUE(Read("k", out, identity).ok());
}

// Its storage was mounted anew, say: the partial file at the path is not the one that was
// written to.
TEST_F(FileStoreTest, WhatCannotBeFlushedAnyMoreIsSaidOnce) {
  const auto write = store_->BeginWrite({"k", 2}, "w");
  ASSERT_TRUE(store_->WriteRange(*write, 0, std::as_bytes(std::span("a", 1))).ok());
  const std::string partial = dir_.File(".k.w.partial");
  fs::rename(partial, dir_.File("old"));
  WriteFile(".k.w.partial", "..");
  const auto range = store_->WriteRange(*write, 1, std::as_bytes(std::span("b", 1)));
  EXPECT_EQ(range.status().code(), absl::StatusCode::kUnavailable) << range.status();
  const absl::Status flushed = store_->FlushWrite(*write);
  EXPECT_EQ(flushed.code(), absl::StatusCode::kUnavailable) << flushed;
  EXPECT_THAT(std::string(flushed.message()), HasSubstr("must be written again"));
  EXPECT_TRUE(store_->FlushWrite(*write).ok());
  std::vector<WriteReceipt> receipts;
  for (const uint64_t at : {0, 1}) {
    const auto again = store_->WriteRange(*write, at, std::as_bytes(std::span("x", 1)));
    ASSERT_TRUE(again.ok()) << again.status();
    receipts.push_back(*again);
  }
  ASSERT_TRUE(store_->CommitWrite(*write, receipts).ok());
  std::string out(2, '\0');
  ASSERT_TRUE(Read("k", out).ok());
  EXPECT_EQ(out, "xx");
}

// A folder of very many keepsakes is not listed with each of them.
TEST_F(FileStoreTest, AFolderIsSweptOnce) {
  ASSERT_TRUE(store_->Put("d/a", "1").ok());
  const std::string left = "d/.b.~0123456789abcdef.partial";
  WriteFile(left, "x");
  ASSERT_TRUE(store_->Put("d/b", "1").ok());
  EXPECT_TRUE(fs::exists(dir_.File(left)));
  WriteFile("d/.c.job-7.partial", "a planned write");
  ASSERT_TRUE(MakeFileStore(dir_.path())->Put("d/c", "1").ok());
  EXPECT_THAT(Files(), ElementsAre("d/.c.job-7.partial", "d/a", "d/b", "d/c"));
}

TEST_F(FileStoreTest, MoreFilesThanCachedDescriptors) {
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 200; ++i) {
      const std::string key = "f" + std::to_string(i);
      if (round == 0) WriteFile(key, key);
      std::string out(key.size(), '\0');
      ASSERT_TRUE(Read(key, out).ok());
      EXPECT_EQ(out, key);
    }
  }
}

TEST_F(FileStoreTest, ManyPlannedWritesAtOnce) {
  std::vector<PlannedWrite> writes;
  for (int i = 0; i < 150; ++i) {
    writes.push_back(*store_->BeginWrite({"k" + std::to_string(i), 1}, "w"));
    ASSERT_TRUE(store_->WriteRange(writes.back(), 0, std::as_bytes(std::span("x", 1))).ok());
    if (i % 3 == 0) {
      ASSERT_TRUE(store_->FlushWrite(writes.back()).ok());
    }
  }
  const WriteReceipt receipt{0, 1, ""};
  for (const PlannedWrite& write : writes) {
    ASSERT_TRUE(store_->CommitWrite(write, {&receipt, 1}).ok());
  }
  EXPECT_EQ(ListAll(*store_, "")->size(), 150u);
}

TEST_F(FileStoreTest, ThePartialFileIsHiddenBesideTheFinalName) {
  const auto write = store_->BeginWrite({"d/m.safetensors", 10}, "job-7");
  EXPECT_THAT(Files(), ElementsAre("d/.m.safetensors.job-7.partial"));
  EXPECT_EQ(fs::file_size(dir_.File("d/.m.safetensors.job-7.partial")), 10u);
  EXPECT_THAT(*ListAll(*store_, ""), IsEmpty());
  ASSERT_TRUE(store_->AbortWrite(*write).ok());
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(FileStoreTest, AnotherProcessMayWriteAndTheFirstMayCommit) {
  const std::shared_ptr<ObjectStore> other = MakeFileStore(dir_.path());
  const auto write = store_->BeginWrite({"k", 2}, "w");
  const auto a = store_->WriteRange(*write, 0, std::as_bytes(std::span("a", 1)));
  const auto b = other->WriteRange(*write, 1, std::as_bytes(std::span("b", 1)));
  ASSERT_TRUE(other->FlushWrite(*write).ok());
  ASSERT_TRUE(store_->CommitWrite(*write, std::vector<WriteReceipt>{*a, *b}).ok());
  std::string out(2, '\0');
  ASSERT_TRUE(Read("k", out).ok());
  EXPECT_EQ(out, "ab");
  // The other store still holds a descriptor of what is now the object.
  EXPECT_EQ(other->WriteRange(*write, 0, std::as_bytes(std::span("X", 1))).status().code(),
            absl::StatusCode::kNotFound);
  ASSERT_TRUE(Read("k", out).ok());
  EXPECT_EQ(out, "ab");
  EXPECT_THAT(Files(), ElementsAre("k"));
}

TEST_F(FileStoreTest, PutLeavesNoTemporaryFiles) {
  ASSERT_TRUE(store_->Put("a/b", "1").ok());
  ASSERT_TRUE(store_->Put("a/b", "2").ok());
  EXPECT_FALSE(*store_->PutIfAbsent("a/b", "3"));
  EXPECT_TRUE(*store_->PutIfAbsent("a/c", "3"));
  EXPECT_THAT(Files(), ElementsAre("a/b", "a/c"));
  fs::create_directory(dir_.File("folder"));
  EXPECT_FALSE(store_->Put("folder", "x").ok());
  EXPECT_EQ(store_->Put("a/b/c", "x").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Files(), ElementsAre("a/b", "a/c"));
}

TEST_F(FileStoreTest, LinksToFilesAreFollowedAsInAHuggingFaceCache) {
  fs::create_directories(dir_.File("blobs"));
  fs::create_directories(dir_.File("snapshots/rev"));
  WriteFile("blobs/abc", "weights");
  fs::create_symlink("../../blobs/abc", dir_.File("snapshots/rev/model.safetensors"));
  fs::create_symlink("nowhere", dir_.File("snapshots/rev/dangling"));
  fs::create_symlink("rev", dir_.File("snapshots/main"));
  fs::create_symlink(".", dir_.File("snapshots/circle"));
  const auto listed = ListAll(*store_, "snapshots/");
  ASSERT_TRUE(listed.ok()) << listed.status();
  ASSERT_EQ(listed->size(), 1u);
  EXPECT_EQ((*listed)[0].key, "snapshots/rev/model.safetensors");
  EXPECT_EQ((*listed)[0].info.size, 7u);
  EXPECT_EQ((*listed)[0].info.identity, Identity("snapshots/rev/model.safetensors"));
  std::string out(7, '\0');
  EXPECT_TRUE(Read("snapshots/main/model.safetensors", out).ok());
  EXPECT_EQ(out, "weights");
  EXPECT_EQ(*store_->Stat("snapshots/rev/dangling"), std::nullopt);
  EXPECT_FALSE(*store_->PutIfAbsent("blobs/abc", "x"));
}

TEST_F(FileStoreTest, APipeIsNoObjectAndDoesNotBlock) {
  ASSERT_EQ(::mkfifo(dir_.File("pipe").c_str(), 0600), 0);
  EXPECT_EQ(*store_->Stat("pipe"), std::nullopt);
  std::string out(1, '\0');
  EXPECT_EQ(Read("pipe", out).code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(*ListAll(*store_, ""), IsEmpty());
}

TEST_F(FileStoreTest, WorkingFoldersGoWithTheirLastFileAndWithWhatACrashLeft) {
  ASSERT_TRUE(store_->Put(".work/job/a", "1").ok());
  ASSERT_TRUE(store_->Put(".work/job/b", "1").ok());
  ASSERT_TRUE(store_->Put("kept/c", "1").ok());
  // A Put of `b` that was killed before its rename, and a stranger's file.
  const std::string work = dir_.path() + "/.work";
  const std::string left = work + "/job/.b.~0123456789abcdef.partial";
  std::ofstream(left) << "1";
  ASSERT_TRUE(store_->Delete(".work/job/a").ok());
  EXPECT_TRUE(std::filesystem::exists(left));
  ASSERT_TRUE(store_->Delete(".work/job/b").ok());
  EXPECT_FALSE(std::filesystem::exists(work));
  ASSERT_TRUE(store_->Delete("kept/c").ok());
  EXPECT_TRUE(std::filesystem::exists(dir_.path() + "/kept"));
  ASSERT_TRUE(store_->Put(".work/job/a", "1").ok());
  std::ofstream(work + "/stranger") << "1";
  ASSERT_TRUE(store_->Delete(".work/job/a").ok());
  EXPECT_FALSE(std::filesystem::exists(work + "/job"));
  EXPECT_TRUE(std::filesystem::exists(work + "/stranger"));
}

// A process that is killed between a file and its folder leaves the folder, which no
// List shows.
TEST_F(FileStoreTest, EmptyFoldersOfAKilledProcessGoWithADeleteAboveThem) {
  fs::create_directories(dir_.File(".work/job-1/progress"));
  fs::create_directories(dir_.File(".work/job-2/keep/a"));
  WriteFile(".work/job-1/progress/.000000.~0123456789abcdef.partial", "x");
  WriteFile(".work/job-2/file", "x");
  fs::create_directories(dir_.File("plain/empty"));
  ASSERT_TRUE(store_->Delete("plain/nothing").ok());
  ASSERT_TRUE(store_->Delete(".work/nothing").ok());
  EXPECT_FALSE(fs::exists(dir_.File(".work/job-1")));
  EXPECT_FALSE(fs::exists(dir_.File(".work/job-2/keep")));
  EXPECT_TRUE(fs::exists(dir_.File(".work/job-2/file")));
  EXPECT_TRUE(fs::exists(dir_.File("plain/empty")));
  ASSERT_TRUE(store_->Delete(".work/job-2/file").ok());
  EXPECT_FALSE(fs::exists(dir_.File(".work")));
  ASSERT_TRUE(store_->Delete(".work/nothing").ok());
}

TEST_F(FileStoreTest, NamesOfPartialFilesAreReserved) {
  EXPECT_EQ(store_->Put("d/.k.w.partial", "x").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->BeginWrite({".k.w.partial", 1}, "w").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(store_->Put("d/k.partial", "x").ok());
}

TEST_F(FileStoreTest, AnUploadFromElsewhereCannotLeaveTheFolder) {
  const PlannedWrite evil{"k", 1, "../../x"};
  EXPECT_EQ(store_->WriteRange(evil, 0, {}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->CommitWrite({"../k", 0, "w"}, {}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->AbortWrite({"a/../../k", 0, "w"}).code(), absl::StatusCode::kInvalidArgument);
}

// Lowers the limit of file sizes for its lifetime: a disk that is full without
// a disk, and without privileges.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t bytes) : handler_(::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit small{bytes, before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  }
  ~SmallDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_{};
};

TEST_F(FileStoreTest, AFullDiskIsResourceExhaustedAndLeavesNothing) {
  absl::Status begin, put;
  absl::StatusOr<bool> put_if_absent;
  {
    const SmallDisk disk(1 << 20);
    begin = store_->BeginWrite({"m.safetensors", 16 << 20}, "w").status();
    put = store_->Put("p", std::string(2 << 20, 'x'));
    put_if_absent = store_->PutIfAbsent("q", std::string(2 << 20, 'x'));
  }
  EXPECT_EQ(begin.code(), absl::StatusCode::kResourceExhausted) << begin;
  EXPECT_TRUE(IsRetryable(begin));
  EXPECT_THAT(std::string(begin.message()), HasSubstr("16777216 bytes are needed"));
  EXPECT_THAT(std::string(begin.message()), HasSubstr("bytes are free"));
  EXPECT_THAT(std::string(begin.message()), HasSubstr("at most 1048576 bytes (ulimit -f)"));
  EXPECT_THAT(std::string(begin.message()), HasSubstr(dir_.File("m.safetensors")));
  EXPECT_EQ(put.code(), absl::StatusCode::kResourceExhausted) << put;
  EXPECT_EQ(put_if_absent.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(Files(), IsEmpty());
}

}  // namespace
}  // namespace merganser
