#include "common/engine/claim.h"

#include "common/storage/memory/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/engine/failing_store.h"
#include "tests/common/engine/small_plan.h"
#include "tests/testing/fault_store.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

ClaimRecord Claim(const std::string& job) {
  ClaimRecord claim;
  claim.job = job;
  claim.started = "2026-01-01T00:00:00Z";
  claim.host = "node-7";
  claim.pid = 4711;
  return claim;
}

TEST(ClaimText, RoundTrips) {
  ClaimRecord claim = Claim("job-1");
  claim.epoch = 3;
  claim.host = "a \"strange\"\nhost";
  const auto back = ParseClaim(WriteClaim(claim));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->job, "job-1");
  EXPECT_EQ(back->epoch, 3);
  EXPECT_EQ(back->started, claim.started);
  EXPECT_EQ(back->host, claim.host);
  EXPECT_EQ(back->pid, 4711);
}

TEST(ClaimText, OtherTextIsDataLoss) {
  for (std::string_view text : {"", "{}", "[]", "{\"job\": 1}", "job-1", "{\"job\":\"a\""}) {
    EXPECT_TRUE(absl::IsDataLoss(ParseClaim(text).status())) << text;
  }
}

TEST(JobUid, IsSafeInKeys) {
  EXPECT_TRUE(IsJobUid("a-0"));
  for (const std::string& uid : {std::string(), std::string("A"), std::string("a/b"),
                                 std::string("a.b"), std::string(65, 'a'), std::string("a b")}) {
    EXPECT_FALSE(IsJobUid(uid)) << uid;
  }
}

TEST(TakeClaim, IsExclusiveAndTheMessageSaysWhoAndWhatToDo) {
  auto store = MakeMemoryStore("claims");
  ASSERT_TRUE(TakeClaim(*store, Claim("first"), false).ok());
  const auto second = TakeClaim(*store, Claim("second"), false);
  ASSERT_TRUE(absl::IsFailedPrecondition(second.status())) << second.status();
  EXPECT_THAT(std::string(second.status().message()),
              AllOf(HasSubstr("first"), HasSubstr("2026-01-01T00:00:00Z"), HasSubstr("node-7"),
                    HasSubstr("4711"), HasSubstr("--overwrite")));
}

TEST(TakeClaim, TakesOverOnlyWhenAsked) {
  auto store = MakeMemoryStore("claims");
  const auto first = TakeClaim(*store, Claim("first"), false);
  ASSERT_TRUE(first.ok());
  const auto second = TakeClaim(*store, Claim("second"), true);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_TRUE(CheckClaim(*store, *second).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(CheckClaim(*store, *first)));
}

TEST(TakeClaim, AnUnreadableClaimIsAClaimToo) {
  auto store = MakeMemoryStore("claims");
  ASSERT_TRUE(store->Put(kClaimKey, "gibberish\n").ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(TakeClaim(*store, Claim("a"), false).status()));
  EXPECT_TRUE(TakeClaim(*store, Claim("a"), true).ok());
}

TEST(TakeClaim, AnOversizedClaimIsRefusedAndOverwritten) {
  auto store = MakeMemoryStore("claims");
  ASSERT_TRUE(store->Put(kClaimKey, std::string(kMaxClaimBytes + 1, 'x')).ok());
  for (const absl::Status& refused :
       {TakeClaim(*store, Claim("a"), false).status(), ReadClaim(*store).status()}) {
    EXPECT_THAT(std::string(refused.message()), HasSubstr("--overwrite")) << refused;
  }
  const auto taken = TakeClaim(*store, Claim("a"), true);
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_TRUE(CheckClaim(*store, *taken).ok());
}

TEST(TakeClaim, ALostAnswerLeavesNoClaim) {
  auto inner = MakeMemoryStore("claims");
  FailingStore store(inner);
  store.FailAt(0, FailWhen::kAfter);
  EXPECT_FALSE(TakeClaim(store, Claim("a"), false).ok());
  EXPECT_EQ(store.failed(), "PutIfAbsent .merganser/claim");
  EXPECT_TRUE(inner->List("").value().empty());
}

TEST(ReleaseClaim, LeavesAnothersClaimAlone) {
  auto store = MakeMemoryStore("claims");
  const auto first = TakeClaim(*store, Claim("first"), false);
  const auto second = TakeClaim(*store, Claim("second"), true);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_TRUE(ReleaseClaim(*store, *first).ok());
  EXPECT_TRUE(CheckClaim(*store, *second).ok());
  EXPECT_TRUE(ReleaseClaim(*store, *second).ok());
  EXPECT_TRUE(store->List("").value().empty());
  EXPECT_TRUE(absl::IsFailedPrecondition(CheckClaim(*store, *second)));
}

TEST(ClearJob, AbortsWhatWasPutDownAndRemovesTheFolder) {
  auto store = MakeMemoryStore("claims");
  std::vector<PlannedWrite> writes = {store->BeginWrite("a.safetensors", 8, "old").value()};
  ASSERT_TRUE(RecordWrites(*store, "old", writes).ok());
  ASSERT_TRUE(store->Put(".merganser/old/keepsakes/1", "k").ok());
  ASSERT_TRUE(store->Put(".merganser/other/keepsakes/1", "k").ok());
  ASSERT_TRUE(ClearJob(*store, "old", {}).ok());
  EXPECT_TRUE(store->List(".merganser/old/").value().empty());
  EXPECT_EQ(store->List(".merganser/other/").value().size(), 1u);
  const std::byte bytes[8] = {};
  EXPECT_TRUE(absl::IsNotFound(store->WriteRange(writes[0], 0, bytes).status()));
}

TEST(ClearJob, FindsAWriteThatWasBegunButNotPutDown) {
  auto store = MakeMemoryStore("claims");
  const std::vector<PlannedWrite> intended = {{"a.safetensors", 8, ""}};
  ASSERT_TRUE(RecordWrites(*store, "old", intended).ok());
  const PlannedWrite begun = store->BeginWrite("a.safetensors", 8, "old").value();
  ASSERT_TRUE(ClearJob(*store, "old", {}).ok());
  const std::byte bytes[8] = {};
  EXPECT_TRUE(absl::IsNotFound(store->WriteRange(begun, 0, bytes).status()));
}

// A store in which nothing new may be written: what it says tells nothing of what was begun.
TEST(ClearJob, SaysWhereItCannotLookForAWriteThatWasBegun) {
  const auto inner = MakeMemoryStore("claims");
  FaultStore store(inner, 1);
  const std::vector<PlannedWrite> intended = {{"a.safetensors", 8, ""}};
  ASSERT_TRUE(RecordWrites(*inner, "old", intended).ok());
  FaultRule rule;
  rule.op = StoreOp::kBeginWrite;
  rule.status = absl::PermissionDeniedError("this user may not");
  store.AddRule(rule);
  const absl::Status cleared = ClearJob(store, "old", {});
  EXPECT_TRUE(absl::IsPermissionDenied(cleared)) << cleared;
  EXPECT_THAT(std::string(cleared.message()), HasSubstr("a partial file of an earlier run"));
  EXPECT_TRUE(HasRecordedWrites(*inner, "old").value());  // whoever may finds it
  EXPECT_TRUE(ClearJob(store, "old", {}).ok());
}

TEST(ClearJob, KeepsTheRecordWhileAWriteMayBeLeft) {
  auto inner = MakeMemoryStore("claims");
  const std::vector<PlannedWrite> writes = {inner->BeginWrite("a.safetensors", 8, "old").value()};
  ASSERT_TRUE(RecordWrites(*inner, "old", writes).ok());
  ASSERT_TRUE(inner->Put(".merganser/old/x", "k").ok());
  FailingStore store(inner);
  store.FailAt(0, FailWhen::kBefore);
  EXPECT_TRUE(absl::IsUnavailable(ClearJob(store, "old", writes)));
  EXPECT_EQ(store.failed(), "AbortWrite a.safetensors");
  const auto left = inner->List("").value();
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].key, ".merganser/old/writes.json");
  EXPECT_TRUE(ClearAllJobs(*inner).ok());
  EXPECT_TRUE(inner->List("").value().empty());
}

TEST(ClearAllJobs, AHostileRecordIsDroppedAndNothingElseTouched) {
  auto store = MakeMemoryStore("claims");
  ASSERT_TRUE(store->Put("model.safetensors", "w").ok());
  for (std::string_view text :
       {"{", "{}", "[1]", "[{\"size\": 1}]", "[{\"key\": \"../../x\", \"upload\": \"u\"}]"}) {
    ASSERT_TRUE(store->Put(".merganser/old/writes.json", text).ok());
    EXPECT_TRUE(ClearAllJobs(*store).ok()) << text;
    EXPECT_EQ(store->List("").value().size(), 1u) << text;
  }
}

}  // namespace
}  // namespace merganser
