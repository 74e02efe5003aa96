#include "common/storage/roots.h"

#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "common/storage/file/file_store.h"
#include "common/storage/list.h"
#include "common/storage/stores.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

// A folder "data" beside others.
class RootsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* folder : {"data/models/a", "data/out", "database", "secret"}) {
      fs::create_directories(dir_.File(folder));
    }
    std::ofstream(dir_.File("secret/file")) << "secret";
    std::ofstream(dir_.File("data/models/a/file")) << "open";
    roots_ = Make({dir_.File("data")});
  }

  static AllowedRoots Make(const std::vector<std::string>& roots) {
    auto made = AllowedRoots::Make(roots, "/", "the coordinator");
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? *std::move(made) : AllowedRoots();
  }
  bool Allows(const std::string& uri) {
    const absl::Status status = roots_.Check(uri);
    EXPECT_TRUE(status.ok() || absl::IsPermissionDenied(status)) << uri << ": " << status;
    return status.ok();
  }
  std::string In(const std::string& name) { return dir_.File(name); }
  void Link(const std::string& target, const std::string& name) {
    fs::create_symlink(target, In(name));
  }

  TempDir dir_;
  AllowedRoots roots_;
};

TEST_F(RootsTest, WithoutRootsEverythingIsAllowed) {
  EXPECT_TRUE(AllowedRoots().everything());
  EXPECT_TRUE(AllowedRoots().Check("/etc/passwd").ok());
  EXPECT_FALSE(roots_.everything());
}

TEST_F(RootsTest, WholeSegmentsAreCompared) {
  EXPECT_TRUE(Allows(In("data")));
  EXPECT_TRUE(Allows(In("data") + "/"));
  EXPECT_TRUE(Allows(In("data/models/a")));
  EXPECT_TRUE(Allows("file://" + In("data/models/a")));
  EXPECT_TRUE(Allows("file://localhost" + In("data//models/./a/")));
  EXPECT_TRUE(Allows(In("data/not/there/yet")));
  EXPECT_FALSE(Allows(In("database")));
  EXPECT_FALSE(Allows("file://" + In("database")));
  EXPECT_FALSE(Allows(In("dat")));
  EXPECT_FALSE(Allows(dir_.path()));
  EXPECT_FALSE(Allows("/"));
  EXPECT_FALSE(Allows("relative/data"));
}

TEST_F(RootsTest, DotDotIsFollowedNotTrusted) {
  EXPECT_TRUE(Allows(In("data/out/../models/a")));
  EXPECT_FALSE(Allows(In("data/../secret/file")));
  EXPECT_FALSE(Allows(In("data/models/../../secret")));
  EXPECT_TRUE(Allows(In("secret/../data/models")));
  // Behind what is not there it may lead anywhere by the time it is used.
  EXPECT_FALSE(Allows(In("data/none/../../secret")));
  EXPECT_FALSE(Allows(In("data/none/../models")));
}

TEST_F(RootsTest, LinksAreFollowedToTheirEnd) {
  Link(In("secret"), "data/out/absolute");
  Link("../../secret/file", "data/out/relative");
  Link("absolute", "data/out/twice");
  Link(In("not/there"), "data/out/dangling");
  Link("circle", "data/out/circle");
  Link("../models/a", "data/out/inside");
  Link(In("data/models"), "data/out/inside-absolute");
  EXPECT_FALSE(Allows(In("data/out/absolute")));
  EXPECT_FALSE(Allows(In("data/out/absolute/file")));
  EXPECT_FALSE(Allows(In("data/out/absolute/../secret/file")));
  EXPECT_FALSE(Allows(In("data/out/relative")));
  EXPECT_FALSE(Allows(In("data/out/twice/new")));
  EXPECT_FALSE(Allows(In("data/out/dangling")));
  EXPECT_FALSE(Allows(In("data/out/dangling/new")));
  EXPECT_FALSE(Allows(In("data/out/circle")));
  EXPECT_TRUE(Allows(In("data/out/inside/file")));
  EXPECT_TRUE(Allows(In("data/out/inside-absolute/a/file")));
}

// The kernel opens by the short path what lies behind one that nobody can look at.
TEST_F(RootsTest, AWayTooLongToFollowIsRefused) {
  const std::string name(250, 'd');
  std::string deep = name;
  while (In("data/").size() + deep.size() + 2 * name.size() < PATH_MAX - 10) deep += "/" + name;
  fs::create_directories(In("data/" + deep));
  Link(deep, "data/short");
  const std::string behind = "data/short/" + name + "/" + name;
  ASSERT_EQ(::mkdir(In("data/short/" + name).c_str(), 0700), 0);
  ASSERT_EQ(::mkdir(In(behind).c_str(), 0700), 0);
  ASSERT_EQ(::symlink(In("secret/file").c_str(), In(behind + "/file").c_str()), 0);
  ASSERT_TRUE(std::ifstream(In(behind + "/file")).good());
  EXPECT_FALSE(Allows(In(behind + "/file")));
  EXPECT_FALSE(Allows(In(behind)));
}

TEST_F(RootsTest, ARootMayBeReachedThroughALink) {
  Link(In("data"), "alias");
  EXPECT_TRUE(Allows(In("alias/models")));
  roots_ = Make({In("alias")});
  EXPECT_TRUE(Allows(In("alias/models")));
  EXPECT_TRUE(Allows(In("data/models")));
  EXPECT_FALSE(Allows(In("secret")));
}

TEST_F(RootsTest, SchemesAndPrefixesAreComparedBySegment) {
  roots_ = Make({"s3://bucket/models", "memory://m"});
  EXPECT_TRUE(Allows("s3://bucket/models"));
  EXPECT_TRUE(Allows("s3://bucket/models/qwen/x"));
  EXPECT_TRUE(Allows("S3://bucket/models/x"));
  EXPECT_TRUE(Allows("memory://m/x"));
  EXPECT_FALSE(Allows("s3://bucket/models2"));
  EXPECT_FALSE(Allows("s3://bucket"));
  EXPECT_FALSE(Allows("s3://other/models/x"));
  EXPECT_FALSE(Allows("http://bucket/models/x"));
  EXPECT_FALSE(Allows("/bucket/models/x"));
  EXPECT_FALSE(Allows(In("data")));
  // What a server may take for another place.
  for (const char* tricky :
       {"s3://bucket/models/../x", "s3://bucket/models/./x", "s3://bucket/models//x",
        "s3://bucket/models/%2e%2E/x", "s3://bucket/models/%2E./x", "s3://bucket/models/a%2f..%2fx",
        "s3://bucket/models/a\\..\\x", "s3://bucket/models/x?y", "s3://bucket/models/x#y"}) {
    EXPECT_FALSE(Allows(tricky)) << tricky;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(roots_.Check("s3://user@bucket/models/x")));
}

TEST_F(RootsTest, TheMessageSaysWhatIsAllowedAndNothingOfWhatIsThere) {
  const std::string there = Message(roots_.Check(In("secret/file")));
  const std::string missing = Message(roots_.Check(In("secret/none")));
  EXPECT_THAT(there, AllOf(HasSubstr(In("secret/file")), HasSubstr(In("data")),
                           HasSubstr("the coordinator allows"), HasSubstr("--allow-root")));
  EXPECT_EQ(missing.substr(missing.find(": ")), there.substr(there.find(": ")));
  Link(In("secret/file"), "data/out/link");
  EXPECT_THAT(Message(roots_.Check(In("data/out/link"))), Not(HasSubstr("secret")));
}

TEST_F(RootsTest, RootsThatAreNoneAreRefused) {
  const std::vector<std::string> bad = {In("none"),  In("secret/file"), "",     "s3://",
                                        "s3://b//x", "s3://b/../x",     "1://x"};
  for (const std::string& root : bad) {
    EXPECT_TRUE(absl::IsInvalidArgument(
        AllowedRoots::Make({root}, dir_.path(), "the coordinator").status()))
        << root;
  }
  const auto relative = AllowedRoots::Make({"data"}, dir_.path(), "the worker");
  ASSERT_TRUE(relative.ok()) << relative.status();
  EXPECT_TRUE(relative->Check(In("data/x")).ok());
}

// The store behind the roots: judged whenever it is used.
class RootedStoreTest : public RootsTest {
 protected:
  std::shared_ptr<ObjectStore> Open(const std::string& name) {
    auto store = Stores(roots_).Open(In(name));
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *store : nullptr;
  }
  static absl::Status Read(ObjectStore& store, const std::string& key, size_t size) {
    std::vector<std::byte> bytes(size);
    return store.Read(key, 0, bytes);
  }
};

TEST_F(RootedStoreTest, AStoreOutsideIsNotOpened) {
  EXPECT_TRUE(absl::IsPermissionDenied(Stores(roots_).Open(In("database")).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(Stores(roots_).Open("memory://x").status()));
  EXPECT_TRUE(Stores(Make({"memory://x"})).Open("memory://x").ok());
}

TEST_F(RootedStoreTest, AFileThatIsALinkOutOfTheRootsIsRefused) {
  const auto store = Open("data/models/a");
  ASSERT_NE(store, nullptr);
  EXPECT_TRUE(Read(*store, "file", 4).ok());
  Link(In("secret/file"), "data/models/a/model.safetensors");
  EXPECT_TRUE(absl::IsPermissionDenied(Read(*store, "model.safetensors", 6)));
  EXPECT_TRUE(absl::IsPermissionDenied(store->Stat("model.safetensors").status()));
  EXPECT_TRUE(absl::IsPermissionDenied(store->Put("model.safetensors", "x")));
  EXPECT_TRUE(absl::IsPermissionDenied(store->PutIfAbsent("model.safetensors", "x").status()));
  EXPECT_TRUE(absl::IsPermissionDenied(store->BeginWrite({"model.safetensors", 1}, "w").status()));
  // Removing takes the link away, and leaves what it leads to.
  EXPECT_TRUE(store->Delete("model.safetensors").ok());
  EXPECT_TRUE(fs::exists(In("secret/file")));
  EXPECT_FALSE(fs::is_symlink(In("data/models/a/model.safetensors")));
}

TEST_F(RootedStoreTest, AFolderThatBecomesALinkIsRefusedFromThenOn) {
  const auto store = Open("data/out");
  ASSERT_NE(store, nullptr);
  ASSERT_TRUE(store->Put("sub/object", "x").ok());
  const auto write = store->BeginWrite({"sub/planned", 1}, "w");
  ASSERT_TRUE(write.ok()) << write.status();
  fs::rename(In("data/out/sub"), In("database/sub"));
  Link(In("database/sub"), "data/out/sub");
  EXPECT_TRUE(absl::IsPermissionDenied(Read(*store, "sub/object", 1)));
  EXPECT_TRUE(absl::IsPermissionDenied(store->Put("sub/new", "x")));
  EXPECT_TRUE(absl::IsPermissionDenied(ListAll(*store, "sub/").status()));
  EXPECT_TRUE(absl::IsPermissionDenied(store->Delete("sub/object")));
  const std::byte byte{1};
  EXPECT_TRUE(absl::IsPermissionDenied(store->WriteRange(*write, 0, {&byte, 1}).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(store->FlushWrite(*write)));
  const std::vector<WriteReceipt> receipts = {{0, 1, ""}};
  EXPECT_TRUE(absl::IsPermissionDenied(store->CommitWrite(*write, receipts)));
  EXPECT_TRUE(absl::IsPermissionDenied(store->AbortWrite(*write)));
  EXPECT_TRUE(fs::exists(In("database/sub/object")));
}

// As if the link had come between the look at the path and the opening.
TEST_F(RootedStoreTest, WhatIsOpenedIsHeldAgainstTheRootsToo) {
  const auto store = MakeFileStore(
      In("data/models/a"), [this](const std::string& place) { return roots_.Check(place); });
  EXPECT_TRUE(Read(*store, "file", 4).ok());
  Link(In("secret/file"), "data/models/a/config.json");
  EXPECT_TRUE(absl::IsPermissionDenied(Read(*store, "config.json", 6)));
  Link(In("secret"), "data/models/a/sub");
  EXPECT_TRUE(absl::IsPermissionDenied(store->Put("sub/new", "x")));
  EXPECT_TRUE(absl::IsPermissionDenied(store->BeginWrite({"sub/planned", 1}, "w").status()));
  EXPECT_EQ(std::distance(fs::directory_iterator(In("secret")), fs::directory_iterator()), 1);
  Link("file", "data/models/a/inside");
  EXPECT_TRUE(Read(*store, "inside", 4).ok());
}

TEST_F(RootedStoreTest, AnUnrestrictedWriteGoesThrough) {
  const auto store = Open("data/out");
  ASSERT_NE(store, nullptr);
  const auto write = store->BeginWrite({"planned", 1}, "w");
  ASSERT_TRUE(write.ok()) << write.status();
  const std::byte byte{'x'};
  const auto receipt = store->WriteRange(*write, 0, {&byte, 1});
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  ASSERT_TRUE(store->FlushWrite(*write).ok());
  ASSERT_TRUE(store->CommitWrite(*write, {&*receipt, 1}).ok());
  const auto listed = ListAll(*store, "");
  ASSERT_TRUE(listed.ok()) << listed.status();
  ASSERT_EQ(listed->size(), 1u);
  EXPECT_EQ((*listed)[0].key, "planned");
}

TEST_F(RootedStoreTest, LinksOfAHuggingFaceCacheStayBelowTheirRoot) {
  const std::string repository = "data/hub/models--org--name";
  fs::create_directories(In(repository + "/blobs"));
  fs::create_directories(In(repository + "/snapshots/abc"));
  std::ofstream(In(repository + "/blobs/1234")) << "blob";
  Link("../../blobs/1234", repository + "/snapshots/abc/model.safetensors");
  const auto store = Open(repository + "/snapshots/abc");
  ASSERT_NE(store, nullptr);
  EXPECT_TRUE(Read(*store, "model.safetensors", 4).ok());
  // A root that is the snapshot alone does not reach the blobs.
  roots_ = Make({In(repository + "/snapshots/abc")});
  const auto narrow = Open(repository + "/snapshots/abc");
  ASSERT_NE(narrow, nullptr);
  EXPECT_TRUE(absl::IsPermissionDenied(Read(*narrow, "model.safetensors", 4)));
}

}  // namespace
}  // namespace merganser
