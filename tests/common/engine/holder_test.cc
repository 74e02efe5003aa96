// Who may take a claim over, and when: by what the system says of its process, or by its beat.
#include "common/engine/holder.h"

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/status.h"
#include "common/engine/beat.h"
#include "common/engine/claim.h"
#include "common/storage/list.h"
#include "common/storage/memory/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/fault_store.h"

namespace merganser {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

// As a process on another machine makes it.
ClaimRecord Elsewhere(int64_t epoch = 1) {
  ClaimRecord claim = MakeClaim("merge-1", epoch, SystemClock());
  claim.host += "-elsewhere";
  return claim;
}

// In a container nobody may ask after processes whose parent is gone.
TEST(AskHolder, AProcessThatEndedDoesNotRunThoughNobodyAskedAfterIt) {
  int told[2], go[2];
  ASSERT_EQ(pipe(told), 0);
  ASSERT_EQ(pipe(go), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const std::string text = WriteClaim(MakeClaim("child", 1, SystemClock()));
    char end = 0;
    const bool fine = write(told[1], text.data(), text.size()) > 0 && read(go[0], &end, 1) == 1;
    _exit(fine ? 0 : 1);
  }
  char text[4096];
  const ssize_t size = read(told[0], text, sizeof(text));
  ASSERT_GT(size, 0);
  const auto claim = ParseClaim(std::string_view(text, static_cast<size_t>(size)));
  ASSERT_TRUE(claim.ok()) << claim.status();
  EXPECT_EQ(claim->pid, child);
  EXPECT_EQ(AskHolder(*claim), HolderState::kRuns);
  ASSERT_EQ(write(go[1], "x", 1), 1);
  siginfo_t ended;
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(AskHolder(*claim), HolderState::kGone);
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(AskHolder(*claim), HolderState::kGone);
  for (const int end : {told[0], told[1], go[0], go[1]}) close(end);
}

// One machine's name says little: others may have it, and a container its machine's.
TEST(AskHolder, KnowsNothingOfAnotherBootOrOutsideOfItsSight) {
  ClaimRecord claim = MakeClaim("merge-1", 1, SystemClock());
  EXPECT_EQ(AskHolder(claim), HolderState::kGone);  // this process gave it up
  claim.pid = ::getppid();
  claim.process = "";
  EXPECT_EQ(AskHolder(claim), HolderState::kRuns);
  claim.process = "another-boot 17 pid:[1]";
  EXPECT_EQ(AskHolder(claim), HolderState::kUnknown);
  const std::string self = MakeClaim("merge-1", 1, SystemClock()).process;
  const std::string boot = self.substr(0, self.find(' '));
  claim.process = boot + " 17";  // as earlier versions wrote it: another process has the pid now
  EXPECT_EQ(AskHolder(claim), HolderState::kGone);
  claim.process = boot + " 17 pid:[1]";
  EXPECT_EQ(AskHolder(claim), HolderState::kUnknown);
  EXPECT_EQ(AskHolder(Elsewhere()), HolderState::kUnknown);
}

class HolderWatchTest : public ::testing::Test {
 protected:
  void BeatOnce() {
    ASSERT_TRUE(store_->Put(BeatKey("merge-1", 1), std::to_string(++beats_)).ok());
  }
  absl::Status Look() { return watch_.MayTakeOver(*store_, claim_); }

  const std::shared_ptr<ObjectStore> memory_ = MakeMemoryStore("holder");
  const std::shared_ptr<FaultStore> store_ = std::make_shared<FaultStore>(memory_, 1);
  FakeClock clock_;
  HolderWatch watch_{clock_};
  ClaimRecord claim_ = Elsewhere();
  int beats_ = 0;
};

TEST_F(HolderWatchTest, TakesOverWhatStoodStill) {
  BeatOnce();
  for (int second = 0; second < 60; ++second) {
    const absl::Status look = Look();
    ASSERT_TRUE(absl::IsAborted(look)) << second << ": " << look;
    EXPECT_THAT(std::string(look.message()), HasSubstr(claim_.host));
    clock_.Advance(seconds(1));
  }
  EXPECT_TRUE(Look().ok()) << Look();
}

// Of the holder that was killed while it was watched the time counts from its last beat.
TEST_F(HolderWatchTest, EveryBeatBeginsTheTimeAnew) {
  for (int second = 0; second < 25; ++second) {
    if (second % 10 == 0) BeatOnce();
    ASSERT_TRUE(absl::IsAborted(Look()));
    clock_.Advance(seconds(1));
  }
  clock_.Advance(seconds(54));
  EXPECT_TRUE(absl::IsAborted(Look())) << Look();
  clock_.Advance(seconds(1));
  EXPECT_TRUE(Look().ok()) << Look();
}

TEST_F(HolderWatchTest, OneThatGoesOnBeatingIsLeftAlone) {
  absl::Status look;
  for (int second = 0; second <= 90; ++second) {
    if (second % 10 == 0) BeatOnce();
    look = Look();
    ASSERT_EQ(absl::IsAborted(look), second < 90) << second << ": " << look;
    clock_.Advance(seconds(1));
  }
  EXPECT_TRUE(absl::IsUnavailable(look)) << look;
  EXPECT_THAT(std::string(look.message()), HasSubstr("still runs"));
}

// Earlier versions put none, and one that was killed early may not have come to it.
TEST_F(HolderWatchTest, WithoutABeatTheTimeCountsFromTheFirstLook) {
  EXPECT_TRUE(absl::IsAborted(Look()));
  clock_.Advance(seconds(59));
  EXPECT_TRUE(absl::IsAborted(Look()));
  clock_.Advance(seconds(1));
  EXPECT_TRUE(Look().ok());
}

TEST_F(HolderWatchTest, AnotherHolderIsWatchedAnew) {
  BeatOnce();
  EXPECT_TRUE(absl::IsAborted(Look()));
  clock_.Advance(seconds(59));
  claim_ = Elsewhere(2);
  EXPECT_TRUE(absl::IsAborted(Look()));
  clock_.Advance(seconds(59));
  EXPECT_FALSE(Look().ok());
  clock_.Advance(seconds(1));
  EXPECT_TRUE(Look().ok());
}

TEST_F(HolderWatchTest, StorageThatDoesNotAnswerTellsNothingOfTheHolder) {
  BeatOnce();
  EXPECT_TRUE(absl::IsAborted(Look()));
  FaultRule rule;
  rule.op = StoreOp::kStat;
  rule.times = kEveryCall;
  store_->AddRule(rule);
  for (int i = 0; i < 3; ++i) {
    clock_.Advance(seconds(30));
    EXPECT_TRUE(absl::IsUnavailable(Look()));
  }
  store_->ClearRules();
  // It may have beaten meanwhile.
  EXPECT_FALSE(Look().ok());
  clock_.Advance(seconds(60));
  EXPECT_TRUE(Look().ok());
}

class BeatTest : public ::testing::Test {
 protected:
  std::string Held() {
    const auto text = TakeClaim(*store_, Elsewhere(), "");
    EXPECT_TRUE(text.ok()) << text.status();
    return text.value_or("");
  }
  std::string Identity() {
    const auto info = store_->Stat(key_);
    return info.ok() && info->has_value() ? (*info)->identity : "";
  }
  // Whether the beat changes within a time that is long for a slow machine.
  bool Changes() {
    const std::string before = Identity();
    for (int i = 0; i < 2000; ++i) {
      if (Identity() != before) return true;
      std::this_thread::sleep_for(milliseconds(5));
    }
    return false;
  }

  const std::shared_ptr<FaultStore> store_ =
      std::make_shared<FaultStore>(MakeMemoryStore("beat"), 1);
  const std::string key_ = BeatKey("merge-1", 1);
};

TEST_F(BeatTest, IsThereAtOnceAndGoesOnThoughStorageFailsForAWhile) {
  {
    const auto beat = Beat::Start(store_, key_, Held(), milliseconds(2));
    ASSERT_TRUE(beat.ok()) << beat.status();
    EXPECT_NE(Identity(), "");
    EXPECT_TRUE(Changes());
    FaultRule rule;
    rule.op = StoreOp::kPut;
    rule.times = 5;
    store_->AddRule(rule);
    while (store_->Faults(StoreOp::kPut) < 5) std::this_thread::sleep_for(milliseconds(1));
    EXPECT_TRUE(Changes());
  }
  const std::string last = Identity();
  EXPECT_NE(last, "");  // who took it over, or clears up, removes it
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(Identity(), last);
}

// A process that was stopped just before it put its beat, and woken after another one had taken
// its job over, done it, and cleared up.
TEST_F(BeatTest, OfOneThatLostItsClaimNothingIsLeft) {
  const auto beat = Beat::Start(store_, key_, Held(), milliseconds(2));
  ASSERT_TRUE(beat.ok()) << beat.status();
  store_->Hold(StoreOp::kPut);
  const uint64_t before = store_->Calls(StoreOp::kPut);
  while (store_->Calls(StoreOp::kPut) == before) std::this_thread::sleep_for(milliseconds(1));
  ASSERT_TRUE(store_->Delete(kClaimKey).ok());
  ASSERT_TRUE(store_->Delete(key_).ok());
  store_->Release();
  for (int i = 0; i < 2000 && store_->Calls(StoreOp::kDelete) < 3; ++i) {
    std::this_thread::sleep_for(milliseconds(5));
  }
  EXPECT_EQ(store_->Calls(StoreOp::kDelete), 3u);
  EXPECT_TRUE(ListAll(*store_, "").value().empty());
}

}  // namespace
}  // namespace merganser
