#include "common/engine/claim.h"

#include <optional>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/storage/list.h"
#include "common/storage/memory/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/engine/failing_store.h"

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

absl::StatusOr<std::string> TakeOver(ObjectStore& store, const ClaimRecord& claim) {
  return TakeClaim(store, claim, ReadClaimText(store).value().value_or(""));
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

// A member nested deeper than any stack, with others behind it.
std::string Deep() {
  constexpr size_t kDepth = 1'000'000;
  return absl::StrCat("{\"a\": ", std::string(kDepth, '['), std::string(kDepth, ']'),
                      ", \"b\": 1, \"c\": 2, \"d\": 3, \"e\": 4}");
}

TEST(ClaimText, DeepNestingIsDataLoss) {
  EXPECT_TRUE(absl::IsDataLoss(ParseClaim(Deep()).status()));
}

TEST(ClaimText, OtherTextIsDataLoss) {
  for (std::string_view text : {"", "{}", "[]", "{\"job\": 1}", "job-1", "{\"job\":\"a\""}) {
    EXPECT_TRUE(absl::IsDataLoss(ParseClaim(text).status())) << text;
  }
}

// Whoever takes it over has the next epoch, which there was none of behind the last number.
TEST(ClaimText, NumbersThatNoHolderHasAreDataLoss) {
  const std::string good = WriteClaim(Claim("job-1"));
  for (const std::string_view epoch :
       {"9223372036854775807", "18446744073709551615", "-1", "1.5", "1e300", "true", "\"1\""}) {
    std::string text = good;
    text.replace(text.find("\"epoch\":1"), 9, absl::StrCat("\"epoch\":", std::string(epoch)));
    EXPECT_TRUE(absl::IsDataLoss(ParseClaim(text).status())) << text;
  }
  for (const std::string_view pid : {"-5", "1e30", "false"}) {
    std::string text = good;
    text.replace(text.find("\"pid\":4711"), 10, absl::StrCat("\"pid\":", std::string(pid)));
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
  ASSERT_TRUE(TakeClaim(*store, Claim("first"), std::nullopt).ok());
  const auto second = TakeClaim(*store, Claim("second"), std::nullopt);
  ASSERT_TRUE(absl::IsFailedPrecondition(second.status())) << second.status();
  EXPECT_THAT(std::string(second.status().message()),
              AllOf(HasSubstr("first"), HasSubstr("2026-01-01T00:00:00Z"), HasSubstr("node-7"),
                    HasSubstr("4711"), HasSubstr("--overwrite")));
}

TEST(TakeClaim, TakesOverOnlyWhenAsked) {
  auto store = MakeMemoryStore("claims");
  const auto first = TakeClaim(*store, Claim("first"), std::nullopt);
  ASSERT_TRUE(first.ok());
  const auto second = TakeOver(*store, Claim("second"));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_TRUE(CheckClaim(*store, *second).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(CheckClaim(*store, *first)));
}

TEST(TakeClaim, AnUnreadableClaimIsAClaimToo) {
  auto store = MakeMemoryStore("claims");
  ASSERT_TRUE(store->Put(kClaimKey, "gibberish\n").ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(TakeClaim(*store, Claim("a"), std::nullopt).status()));
  EXPECT_TRUE(TakeOver(*store, Claim("a")).ok());
}

TEST(TakeClaim, AnOversizedClaimIsRefusedAndOverwritten) {
  auto store = MakeMemoryStore("claims");
  ASSERT_TRUE(store->Put(kClaimKey, std::string(kMaxClaimBytes + 1, 'x')).ok());
  for (const absl::Status& refused :
       {TakeClaim(*store, Claim("a"), std::nullopt).status(), ReadClaim(*store).status()}) {
    EXPECT_THAT(std::string(refused.message()), HasSubstr("--overwrite")) << refused;
  }
  const auto taken = TakeOver(*store, Claim("a"));
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_TRUE(CheckClaim(*store, *taken).ok());
}

TEST(TakeClaim, ALostAnswerLeavesNoClaim) {
  auto inner = MakeMemoryStore("claims");
  FailingStore store(inner);
  store.FailAt(0, FailWhen::kAfter);
  EXPECT_FALSE(TakeClaim(store, Claim("a"), std::nullopt).ok());
  EXPECT_EQ(store.failed(), "PutIfAbsent .merganser/claim");
  EXPECT_TRUE(ListAll(*inner, "").value().empty());
}

TEST(ReleaseClaim, LeavesAnothersClaimAlone) {
  auto store = MakeMemoryStore("claims");
  const auto first = TakeClaim(*store, Claim("first"), std::nullopt);
  const auto second = TakeOver(*store, Claim("second"));
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_TRUE(ReleaseClaim(*store, *first).ok());
  EXPECT_TRUE(CheckClaim(*store, *second).ok());
  EXPECT_TRUE(ReleaseClaim(*store, *second).ok());
  EXPECT_TRUE(ListAll(*store, "").value().empty());
  EXPECT_TRUE(absl::IsFailedPrecondition(CheckClaim(*store, *second)));
}

// Between the look at a claim and its removal another one took it.
TEST(ReleaseClaim, LeavesAClaimThatCameMeanwhile) {
  auto inner = MakeMemoryStore("claims");
  for (int call = 0; call < 3; ++call) {
    FailingStore store(inner);
    const auto first = TakeOver(*inner, Claim("first"));
    ASSERT_TRUE(first.ok()) << first.status();
    absl::StatusOr<std::string> second;
    store.StopAt(call, [&] { second = TakeOver(*inner, Claim("second")); });
    EXPECT_TRUE(ReleaseClaim(store, *first).ok());
    SCOPED_TRACE(store.stopped());
    ASSERT_TRUE(second.ok()) << second.status();
    EXPECT_TRUE(CheckClaim(*inner, *second).ok());
  }
}

// Two that find the same holder gone: the second must ask after the first.
TEST(TakeClaim, TakesOverNoOtherThanTheOneThatWasLookedAt) {
  auto store = MakeMemoryStore("claims");
  const auto gone = TakeClaim(*store, Claim("gone"), std::nullopt);
  ASSERT_TRUE(gone.ok()) << gone.status();
  const auto first = TakeClaim(*store, Claim("first"), *gone);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = TakeClaim(*store, Claim("second"), *gone);
  EXPECT_TRUE(absl::IsAborted(second.status())) << second.status();
  EXPECT_TRUE(CheckClaim(*store, *first).ok());
}

}  // namespace
}  // namespace merganser
