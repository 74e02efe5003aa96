// Objects: stat, read, list, put, put-if-absent, delete.
#include "tests/common/storage/conformance.h"
#include "common/storage/list.h"

#include <gmock/gmock.h>

#include <atomic>
#include <thread>

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StoreConformance);

TEST_P(StoreConformance, AMissingObjectIsAValueForStatAndNotFoundForRead) {
  EXPECT_EQ(*store_->Stat("a/b"), std::nullopt);
  std::byte byte;
  const absl::Status read = store_->Read("a/b", 0, {&byte, 1});
  EXPECT_EQ(read.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(read.message()), HasSubstr(store_->Describe("a/b")));
  EXPECT_TRUE(store_->Delete("a/b").ok());
  EXPECT_THAT(Keys(), IsEmpty());
}

TEST_P(StoreConformance, PutThenReadGivesTheBytes) {
  const std::string bytes("a\0b\n", 4);
  ASSERT_TRUE(store_->Put("x/y/z.bin", bytes).ok());
  EXPECT_EQ(Content("x/y/z.bin"), bytes);
  ASSERT_TRUE(store_->Put("x/y/z.bin", "").ok());
  EXPECT_EQ(Content("x/y/z.bin"), "");
}

TEST_P(StoreConformance, AFolderIsNoObject) {
  ASSERT_TRUE(store_->Put("x/y", "1").ok());
  EXPECT_FALSE(Exists("x"));
  EXPECT_FALSE(Exists("x/y/z"));
  EXPECT_TRUE(store_->Delete("x").ok());
  EXPECT_EQ(Content("x/y"), "1");
}

TEST_P(StoreConformance, ReadsRangesAndNothingPastTheEnd) {
  ASSERT_TRUE(store_->Put("k", "0123456789").ok());
  std::string out(4, '\0');
  const auto span = std::as_writable_bytes(std::span(out));
  ASSERT_TRUE(store_->Read("k", 6, span).ok());
  EXPECT_EQ(out, "6789");
  EXPECT_EQ(store_->Read("k", 7, span).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(store_->Read("k", 11, {}).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(store_->Read("k", ~uint64_t{0}, span).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(store_->Read("k", ~uint64_t{0} - 1, span).code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(store_->Read("k", 10, {}).ok());
}

TEST_P(StoreConformance, IfMatchNoticesAReplacedObject) {
  ASSERT_TRUE(store_->Put("k", "old").ok());
  const std::string identity = (*store_->Stat("k"))->identity;
  EXPECT_FALSE(identity.empty());
  std::string out(3, '\0');
  const auto span = std::as_writable_bytes(std::span(out));
  EXPECT_TRUE(store_->Read("k", 0, span, identity).ok());
  ASSERT_TRUE(store_->Put("k", "new").ok());
  const absl::Status read = store_->Read("k", 0, span, identity);
  EXPECT_EQ(read.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(read.message()), HasSubstr(identity));
  EXPECT_TRUE(store_->Read("k", 0, span).ok());
  EXPECT_EQ(out, "new");
  EXPECT_TRUE(store_->Read("k", 0, span, (*store_->Stat("k"))->identity).ok());
}

TEST_P(StoreConformance, DeleteOfAnIdentityLeavesAnotherObjectAlone) {
  ASSERT_TRUE(store_->Put("k", "old").ok());
  const std::string identity = (*store_->Stat("k"))->identity;
  ASSERT_TRUE(store_->Put("k", "new").ok());
  EXPECT_TRUE(store_->Delete("k", identity).ok());
  EXPECT_THAT(Keys(), ElementsAre("k"));
  EXPECT_TRUE(store_->Delete("k", (*store_->Stat("k"))->identity).ok());
  EXPECT_THAT(Keys(), IsEmpty());
  EXPECT_TRUE(store_->Delete("k", identity).ok());
}

TEST_P(StoreConformance, ListIsRecursiveSortedAndByPrefix) {
  for (const char* key : {"b/c/1", "b-2", "a/.hidden", "a/x"}) {
    ASSERT_TRUE(store_->Put(key, "12").ok()) << key;
  }
  EXPECT_THAT(Keys(), ElementsAre("a/.hidden", "a/x", "b-2", "b/c/1"));
  EXPECT_THAT(Keys("b"), ElementsAre("b-2", "b/c/1"));
  EXPECT_THAT(Keys("b/"), ElementsAre("b/c/1"));
  EXPECT_THAT(Keys("b/c/1"), ElementsAre("b/c/1"));
  EXPECT_THAT(Keys("b/c/12"), IsEmpty());
  EXPECT_THAT(Keys("../"), IsEmpty());
  EXPECT_THAT(Keys("/"), IsEmpty());
  EXPECT_THAT(Keys("a//x"), IsEmpty());
  const auto listed = ListAll(*store_, "a/x");
  ASSERT_EQ(listed->size(), 1u);
  EXPECT_EQ((*listed)[0].info.size, 2u);
  EXPECT_EQ((*listed)[0].info.identity, (*store_->Stat("a/x"))->identity);
}

TEST_P(StoreConformance, AFolderIsListedWithoutWhatLiesDeeper) {
  for (const char* key : {"b/c/1", "b/c/2", "b/d/1", "b/2", "a", "bc"}) {
    ASSERT_TRUE(store_->Put(key, "12").ok()) << key;
  }
  const auto keys = [&](std::string_view folder, size_t limit) {
    const auto listed = ListFolder(*store_, folder, limit);
    std::vector<std::string> found;
    if (!listed.ok()) return std::vector<std::string>{listed.status().ToString()};
    for (const ListedObject& object : *listed) found.push_back(object.key);
    return found;
  };
  EXPECT_THAT(keys("", 3), ElementsAre("a", "bc"));
  EXPECT_THAT(keys("b", 3), ElementsAre("b/2"));
  EXPECT_THAT(keys("b/c", 3), ElementsAre("b/c/1", "b/c/2"));
  EXPECT_THAT(keys("absent", 3), IsEmpty());
  EXPECT_THAT(keys("a", 3), IsEmpty());
  for (const char* folder : {"", "b"}) {
    const auto status = ListFolder(*store_, folder, 2).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_NE(status.message().find("more than 2 entries"), std::string::npos) << status;
  }
  EXPECT_EQ(ListFolder(*store_, "..", 9).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(StoreConformance, AFlatListTellsTheFoldersOfWhatLiesDeeper) {
  for (const char* key : {"b/c/1", "b/c/2", "b/d/e/1", "b/2", "a", "bc", "b-/1"}) {
    ASSERT_TRUE(store_->Put(key, "12").ok()) << key;
  }
  const auto list = [&](std::string_view prefix) {
    const auto listing = store_->List(prefix, {.flat = true});
    EXPECT_TRUE(listing.ok()) << listing.status();
    if (!listing.ok()) return std::vector<std::string>();
    EXPECT_FALSE(listing->more);
    std::vector<std::string> told = listing->folders;
    for (const ListedObject& object : listing->objects) told.push_back(object.key);
    return told;
  };
  EXPECT_THAT(list(""), ElementsAre("b-/", "b/", "a", "bc"));
  EXPECT_THAT(list("b"), ElementsAre("b-/", "b/", "bc"));
  EXPECT_THAT(list("b-"), ElementsAre("b-/"));
  EXPECT_THAT(list("b/"), ElementsAre("b/c/", "b/d/", "b/2"));
  EXPECT_THAT(list("b/d/e/"), ElementsAre("b/d/e/1"));
  EXPECT_THAT(list("b/c/12"), IsEmpty());
  EXPECT_THAT(list("../"), IsEmpty());
}

TEST_P(StoreConformance, AListEndsAtItsLimit) {
  for (const char* key : {"a", "b/1", "b/2", "c"}) {
    ASSERT_TRUE(store_->Put(key, "12").ok()) << key;
  }
  for (const bool flat : {false, true}) {
    const size_t all = flat ? 3 : 4;
    for (size_t limit = 0; limit <= 5; ++limit) {
      const auto listing = store_->List("", {.flat = flat, .limit = limit});
      ASSERT_TRUE(listing.ok()) << listing.status();
      EXPECT_EQ(listing->objects.size() + listing->folders.size(), std::min(limit, all));
      EXPECT_EQ(listing->more, limit < all);
    }
  }
}

TEST_P(StoreConformance, AnyObjectIsFoundWhereverItLies) {
  const std::vector<std::string_view> ignored = {"w/"};
  EXPECT_EQ(*FindAnyObject(*store_, ignored), std::nullopt);
  ASSERT_TRUE(store_->Put("w/1", "1").ok());
  EXPECT_EQ(*FindAnyObject(*store_, ignored), std::nullopt);
  EXPECT_EQ(*FindAnyObject(*store_), "w/1");
  ASSERT_TRUE(store_->Put("deep/er/1", "1").ok());
  EXPECT_EQ(*FindAnyObject(*store_, ignored), "deep/er/1");
  ASSERT_TRUE(store_->Delete("deep/er/1").ok());
  ASSERT_TRUE(store_->Put("x", "1").ok());
  EXPECT_EQ(*FindAnyObject(*store_, ignored), "x");
}

TEST_P(StoreConformance, OtherKeysAreRefusedByEveryMethod) {
  for (const std::string& key :
       {std::string(""), std::string("/a"), std::string("../a"), std::string("a/../b"),
        std::string("a/.."), std::string("."), std::string("./a"), std::string("a//b"),
        std::string("a/"), std::string("a\0b", 3)}) {
    SCOPED_TRACE(key);
    constexpr auto kBad = absl::StatusCode::kInvalidArgument;
    EXPECT_EQ(store_->Stat(key).status().code(), kBad);
    EXPECT_EQ(store_->Read(key, 0, {}).code(), kBad);
    EXPECT_EQ(store_->Put(key, "x").code(), kBad);
    EXPECT_EQ(store_->PutIfAbsent(key, "x").status().code(), kBad);
    EXPECT_EQ(store_->Delete(key).code(), kBad);
    EXPECT_EQ(store_->BeginWrite({key, 1}, "w").status().code(), kBad);
  }
  EXPECT_THAT(Keys(), IsEmpty());
}

TEST_P(StoreConformance, PutIfAbsentKeepsWhatIsThere) {
  EXPECT_TRUE(*store_->PutIfAbsent("d/k", "first"));
  EXPECT_FALSE(*store_->PutIfAbsent("d/k", "second"));
  EXPECT_EQ(Content("d/k"), "first");
  ASSERT_TRUE(store_->Delete("d/k").ok());
  EXPECT_TRUE(*store_->PutIfAbsent("d/k", "third"));
  EXPECT_THAT(Keys(), ElementsAre("d/k"));
}

TEST_P(StoreConformance, OfRacingPutsIfAbsentOneWins) {
  for (int round = 0; round < 10; ++round) {
    const std::string key = "claims/" + std::to_string(round);
    std::atomic<int> winner{-1}, wins{0}, failures{0};
    std::atomic<bool> go{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        while (!go.load()) std::this_thread::yield();
        const absl::StatusOr<bool> created = store_->PutIfAbsent(key, std::to_string(t));
        if (!created.ok()) ++failures;
        if (created.ok() && *created) {
          ++wins;
          winner = t;
        }
      });
    }
    go = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(failures.load(), 0);
    EXPECT_GE(wins.load(), 1);
    if (!GetParam().heeds_conditions) continue;
    EXPECT_EQ(wins.load(), 1);
    EXPECT_EQ(Content(key), std::to_string(winner.load()));
  }
  EXPECT_EQ(Keys().size(), 10u);
}

TEST_P(StoreConformance, AReaderSeesTheOldBytesOrTheNew) {
  const std::string a(5000, 'a'), b(5000, 'b');
  ASSERT_TRUE(store_->Put("k", a).ok());
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (int i = 0; i < 50; ++i) EXPECT_TRUE(store_->Put("k", i % 2 == 0 ? b : a).ok());
    done = true;
  });
  int reads = 0;
  do {
    const std::string seen = Content("k");
    EXPECT_TRUE(seen == a || seen == b) << seen.substr(0, 200);
    ++reads;
  } while (!done.load());
  writer.join();
  EXPECT_GT(reads, 0);
}

TEST_P(StoreConformance, DeleteRemovesTheObjectAlone) {
  ASSERT_TRUE(store_->Put("d/a", "1").ok());
  ASSERT_TRUE(store_->Put("d/b", "2").ok());
  EXPECT_EQ(Content("d/a"), "1");
  ASSERT_TRUE(store_->Delete("d/a").ok());
  EXPECT_FALSE(Exists("d/a"));
  EXPECT_THAT(Keys(), ElementsAre("d/b"));
}

}  // namespace
}  // namespace merganser
