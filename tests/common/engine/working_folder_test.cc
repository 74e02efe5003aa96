#include "common/engine/working_folder.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/engine/claim.h"
#include "common/storage/list.h"
#include "common/storage/memory/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/engine/failing_store.h"
#include "tests/testing/fault_store.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kEpoch = 3;

absl::Status Clear(ObjectStore& store, std::string_view job) {
  MERGANSER_ASSIGN_OR_RETURN(const JobFolder folder, LookUpJob(store, job));
  return ClearJob(store, folder);
}

// Under a claim of its own, which is let go.
absl::Status ClearAll(ObjectStore& store) {
  ClaimRecord claim;
  claim.job = "new";
  MERGANSER_ASSIGN_OR_RETURN(const std::string text, TakeClaim(store, claim, std::nullopt));
  MERGANSER_RETURN_IF_ERROR(ClearAllJobs(store, text, ""));
  return ReleaseClaim(store, text);
}

TEST(ClearJob, AbortsWhatWasPutDownAndRemovesTheFolder) {
  auto store = MakeMemoryStore("claims");
  std::vector<PlannedWrite> writes = {
      store->BeginWrite({"a.safetensors", 8}, WriterOf("old", kEpoch)).value()};
  ASSERT_TRUE(RecordWrites(*store, "old", kEpoch, WritesRecord::kBegun, writes).ok());
  ASSERT_TRUE(store->Put(".merganser/old/keepsakes/1", "k").ok());
  ASSERT_TRUE(store->Put(".merganser/other/keepsakes/1", "k").ok());
  ASSERT_TRUE(Clear(*store, "old").ok());
  EXPECT_TRUE(ListAll(*store, ".merganser/old/").value().empty());
  EXPECT_EQ(ListAll(*store, ".merganser/other/").value().size(), 1u);
  const std::byte bytes[8] = {};
  EXPECT_TRUE(absl::IsNotFound(store->WriteRange(writes[0], 0, bytes).status()));
}

TEST(ClearJob, FindsAWriteThatWasBegunButNotPutDown) {
  auto store = MakeMemoryStore("claims");
  const std::vector<PlannedWrite> intended = {{"a.safetensors", 8, ""}};
  ASSERT_TRUE(RecordWrites(*store, "old", kEpoch, WritesRecord::kIntended, intended).ok());
  const PlannedWrite begun =
      store->BeginWrite({"a.safetensors", 8}, WriterOf("old", kEpoch)).value();
  ASSERT_TRUE(Clear(*store, "old").ok());
  const std::byte bytes[8] = {};
  EXPECT_TRUE(absl::IsNotFound(store->WriteRange(begun, 0, bytes).status()));
}

// A store that will not say what was begun there.
TEST(ClearJob, SaysWhereItCannotLookForAWriteThatWasBegun) {
  const auto inner = MakeMemoryStore("claims");
  FaultStore store(inner, 1);
  const std::vector<PlannedWrite> intended = {{"a.safetensors", 8, ""}};
  ASSERT_TRUE(RecordWrites(*inner, "old", kEpoch, WritesRecord::kIntended, intended).ok());
  FaultRule rule;
  rule.op = StoreOp::kAbortWritesOf;
  rule.status = absl::PermissionDeniedError("this user may not");
  store.AddRule(rule);
  const absl::Status cleared = Clear(store, "old");
  EXPECT_TRUE(absl::IsPermissionDenied(cleared)) << cleared;
  EXPECT_THAT(std::string(cleared.message()), HasSubstr("a partial file of an earlier run"));
  EXPECT_TRUE(HasRecordedWrites(*inner, "old").value());  // whoever may finds it
  EXPECT_TRUE(Clear(store, "old").ok());
}

TEST(ClearJob, KeepsTheRecordWhileAWriteMayBeLeft) {
  auto inner = MakeMemoryStore("claims");
  const std::vector<PlannedWrite> writes = {
      inner->BeginWrite({"a.safetensors", 8}, WriterOf("old", kEpoch)).value()};
  ASSERT_TRUE(RecordWrites(*inner, "old", kEpoch, WritesRecord::kBegun, writes).ok());
  ASSERT_TRUE(inner->Put(".merganser/old/x", "k").ok());
  FailingStore store(inner);
  const auto folder = LookUpJob(store, "old");
  ASSERT_TRUE(folder.ok()) << folder.status();
  store.FailAt(0, FailWhen::kBefore);
  EXPECT_TRUE(absl::IsUnavailable(ClearJob(store, *folder)));
  EXPECT_EQ(store.failed(), "AbortWrite a.safetensors");
  const auto left = ListAll(*inner, "").value();
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].key, ".merganser/old/writes/3-begun.json");
  EXPECT_TRUE(ClearAll(*inner).ok());
  EXPECT_TRUE(ListAll(*inner, "").value().empty());
}

TEST(ClearAllJobs, AHostileRecordIsDroppedAndNothingElseTouched) {
  auto store = MakeMemoryStore("claims");
  ASSERT_TRUE(store->Put("model.safetensors", "w").ok());
  constexpr size_t kDepth = 1'000'000;
  const std::string deep =
      absl::StrCat("[{\"ends\": ", std::string(kDepth, '['), std::string(kDepth, ']'),
                   ", \"key\": 1, \"size\": 2, \"upload\": 3, \"more\": 4}]");
  for (const std::string_view text :
       {std::string_view("{"), std::string_view("{}"), std::string_view("[1]"),
        std::string_view("[{\"size\": 1}]"),
        std::string_view("[{\"key\": \"../../x\", \"upload\": \"u\"}]"), std::string_view(deep)}) {
    for (const char* name : {"writes.json", "writes/1.json", "writes/x-begun.json",
                             "writes/2-begun.json", "writes/-1-files.json"}) {
      ASSERT_TRUE(store->Put(std::string(".merganser/old/") + name, text).ok());
    }
    EXPECT_TRUE(ClearAll(*store).ok()) << text.substr(0, 80);
    EXPECT_EQ(ListAll(*store, "").value().size(), 1u) << text.substr(0, 80);
  }
}

// As versions without epochs left it.
TEST(ClearAllJobs, FindsWhatEarlierVersionsBegan) {
  auto store = MakeMemoryStore("folder");
  const PlannedWrite begun = store->BeginWrite({"a.safetensors", 8}, "old").value();
  ASSERT_TRUE(store
                  ->Put(".merganser/old/writes.json",
                        "[{\"key\": \"a.safetensors\", \"size\": 8, \"upload\": \"\"}]")
                  .ok());
  ASSERT_TRUE(ClearAll(*store).ok());
  const std::byte bytes[8] = {};
  EXPECT_TRUE(absl::IsNotFound(store->WriteRange(begun, 0, bytes).status()));
  EXPECT_TRUE(ListAll(*store, "").value().empty());
}

TEST(ClearAllJobs, TouchesNothingUnderAClaimThatIsGone) {
  auto store = MakeMemoryStore("folder");
  ASSERT_TRUE(store->Put(".merganser/other/keep/1-1", "k").ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(ClearAllJobs(*store, "mine", "")));
  EXPECT_EQ(ListAll(*store, "").value().size(), 1u);
}

TEST(ReadBegunWrites, TellsThoseOfTheLastEpoch) {
  auto store = MakeMemoryStore("folder");
  EXPECT_TRUE(ReadBegunWrites(*store, "job").value().writes.empty());
  const std::vector<PlannedWrite> intended = {{"a", 8, ""}};
  ASSERT_TRUE(RecordWrites(*store, "job", 11, WritesRecord::kIntended, intended).ok());
  for (const int64_t epoch : {9, 10}) {
    const std::vector<PlannedWrite> begun = {{"a", 8, WriterOf("job", epoch)}};
    ASSERT_TRUE(RecordWrites(*store, "job", epoch, WritesRecord::kBegun, begun).ok());
  }
  const auto found = ReadBegunWrites(*store, "job");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->epoch, 10);
  ASSERT_EQ(found->writes.size(), 1u);
  EXPECT_EQ(found->writes[0].upload, "job-10");
  ASSERT_TRUE(store->Put(".merganser/job/writes/12-begun.json", "{").ok());
  EXPECT_TRUE(absl::IsDataLoss(ReadBegunWrites(*store, "job").status()));
}

TEST(PutOnce, TakesItsOwnForAnAnswerThatWasLost) {
  auto inner = MakeMemoryStore("folder");
  FailingStore store(inner);
  store.FailAt(0, FailWhen::kAfter);
  EXPECT_TRUE(absl::IsUnavailable(PutOnce(store, "k", "mine")));
  EXPECT_TRUE(PutOnce(store, "k", "mine").ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(PutOnce(store, "k", "me")));
  EXPECT_TRUE(absl::IsFailedPrecondition(PutOnce(store, "k", "other")));
}

}  // namespace
}  // namespace merganser
