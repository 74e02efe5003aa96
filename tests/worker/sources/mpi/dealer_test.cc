#include "worker/sources/mpi/dealer.h"

#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/engine/result_record.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/worker_fixture.h"

namespace merganser {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view kLinear =
    "merge_method: linear\nmodels: [a, b]\nparameters: {weight: 1}\nmax_shard_size: 1000\n";
constexpr seconds kSilence(100);
const MonotonicTime kStart = MonotonicTime(seconds(1000));

// Eight units of one round.
TestJob MakeJob() {
  TinyCheckpoint a;
  for (int t = 0; t < 8; ++t) a.tensors.push_back({absl::StrCat("w", t), DType::kF32, {200}});
  TinyCheckpoint b = a;
  b.seed = 2;
  return TestJob(kLinear, {{"a", a}, {"b", b}});
}

class DealerTest : public ::testing::Test {
 protected:
  void Start(int ranks, std::vector<UnitResult> done = {}) {
    dealer_.emplace(job_.context(), ranks, std::move(done), kSilence, kStart,
                    [this](const UnitResult& result) { completed_.push_back(result.unit); });
  }
  void Say(int rank, Message message) { dealer_->Handle(rank, message, now_); }
  void Hello(int rank) {
    Say(rank, {.kind = MessageKind::kHello,
               .number = kNumericsVersion,
               .text = absl::StrCat("node", rank)});
  }
  void Want(int rank, uint64_t units) {
    Say(rank, {.kind = MessageKind::kWanted, .number = units});
  }
  UnitResult ResultOf(uint32_t unit) const {
    UnitResult result;
    result.unit = unit;
    result.segment_digests.assign(job_.plan().units[unit].segments.size(), std::string(32, 'a'));
    return result;
  }
  void Finish(int rank, uint32_t unit) {
    Say(rank,
        {.kind = MessageKind::kResult, .text = PackResults(job_.plan().digest, {ResultOf(unit)})});
  }
  // Rank -> units, of what is to be sent now.
  std::map<int, std::vector<uint32_t>> Units() {
    std::map<int, std::vector<uint32_t>> units;
    kinds_.clear();
    for (const Dealer::Outgoing& out : dealer_->TakeOutgoing()) {
      kinds_.push_back(out.message.kind);
      for (const uint32_t unit : out.message.units) units[out.rank].push_back(unit);
    }
    return units;
  }

  TestJob job_ = MakeJob();
  std::optional<Dealer> dealer_;
  std::vector<uint32_t> completed_;
  std::vector<MessageKind> kinds_;  // that the last Units() saw
  MonotonicTime now_ = kStart;
};

TEST_F(DealerTest, NothingIsDealtBeforeEveryRankIsReady) {
  Start(2);
  Want(0, 3);
  Hello(0);
  Want(1, 3);
  EXPECT_THAT(Units(), IsEmpty());
  Hello(1);
  const auto units = Units();
  EXPECT_THAT(units.at(0), ElementsAre(0, 2, 4));
  EXPECT_THAT(units.at(1), ElementsAre(1, 3, 5));
}

TEST_F(DealerTest, WhoHasMostRoomIsNext) {
  Start(2);
  Want(0, 1);
  Want(1, 4);
  Hello(0);
  Hello(1);
  const auto units = Units();
  EXPECT_THAT(units.at(0), ElementsAre(3));
  EXPECT_THAT(units.at(1), ElementsAre(0, 1, 2, 4));
  Want(0, 9);
  EXPECT_THAT(Units().at(0), ElementsAre(5, 6, 7));
}

TEST_F(DealerTest, ItEndsWhenAllResultsAreThereAndAllRanksStopped) {
  Start(2);
  Want(0, 8);
  Hello(0);
  Hello(1);
  EXPECT_EQ(Units().at(0).size(), 8u);
  for (uint32_t unit = 0; unit < 8; ++unit) {
    EXPECT_THAT(Units(), IsEmpty());
    EXPECT_THAT(kinds_, IsEmpty());
    Finish(0, unit);
  }
  EXPECT_EQ(completed_.size(), 8u);
  Units();
  EXPECT_THAT(kinds_, ElementsAre(MessageKind::kEnd));
  EXPECT_FALSE(dealer_->over());
  Say(0, {.kind = MessageKind::kStopped});
  EXPECT_FALSE(dealer_->over());
  Say(1, {.kind = MessageKind::kStopped});
  EXPECT_TRUE(dealer_->over());
  const auto results = dealer_->TakeResults();
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_EQ(results->size(), 8u);
}

TEST_F(DealerTest, WhatAnEarlierRunDidIsNotDealt) {
  Start(1, {ResultOf(0), ResultOf(3)});
  EXPECT_EQ(dealer_->progress().units_done, 2u);
  Want(0, 99);
  Hello(0);
  EXPECT_THAT(Units().at(0), ElementsAre(1, 2, 4, 5, 6, 7));
}

TEST_F(DealerTest, AJobThatIsDoneAlreadyEndsAtOnce) {
  std::vector<UnitResult> done;
  for (uint32_t unit = 0; unit < 8; ++unit) done.push_back(ResultOf(unit));
  Start(1, std::move(done));
  Want(0, 3);
  Hello(0);
  EXPECT_THAT(Units(), IsEmpty());
  EXPECT_THAT(kinds_, ElementsAre(MessageKind::kEnd));
}

TEST_F(DealerTest, TheFirstFailureEndsTheRunAndNamesRankAndHost) {
  Start(3);
  for (int rank = 0; rank < 3; ++rank) {
    Want(rank, 1);
    Hello(rank);
  }
  Units();
  Say(1, FailedMessage(absl::DataLossError("model.safetensors: a NaN")));
  Say(2, FailedMessage(absl::UnavailableError("later")));
  Want(0, 5);
  EXPECT_THAT(Units(), IsEmpty());
  EXPECT_THAT(kinds_, ElementsAre(MessageKind::kDrop));
  // What was on its way is taken all the same: it goes on record.
  Finish(0, 0);
  EXPECT_THAT(completed_, ElementsAre(0));
  for (int rank = 0; rank < 3; ++rank) Say(rank, {.kind = MessageKind::kStopped});
  EXPECT_TRUE(dealer_->over());
  EXPECT_EQ(dealer_->TakeResults().status(),
            absl::DataLossError("rank 1 on node1: model.safetensors: a NaN"));
}

TEST_F(DealerTest, ASignalToAnyRankCancelsTheRun) {
  Start(2);
  Hello(0);
  Hello(1);
  Say(1, {.kind = MessageKind::kInterrupted});
  EXPECT_TRUE(absl::IsCancelled(dealer_->status())) << dealer_->status();
  EXPECT_THAT(std::string(dealer_->status().message()), HasSubstr("rank 1 on node1"));
}

TEST_F(DealerTest, AnotherVersionIsRefused) {
  Start(2);
  Hello(0);
  Say(1, {.kind = MessageKind::kHello, .number = kNumericsVersion + 1, .text = "node1"});
  EXPECT_TRUE(absl::IsFailedPrecondition(dealer_->status()));
  EXPECT_THAT(std::string(dealer_->status().message()), HasSubstr("rank 1 on node1"));
}

TEST_F(DealerTest, AResultMustBeOfAUnitThatTheRankHolds) {
  Start(2);
  Want(0, 1);
  Hello(0);
  Hello(1);
  EXPECT_THAT(Units().at(0), ElementsAre(0));
  Finish(1, 0);
  EXPECT_EQ(dealer_->status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(completed_, IsEmpty());
}

TEST_F(DealerTest, AResultCountsOnce) {
  Start(1);
  Want(0, 1);
  Hello(0);
  Finish(0, 0);
  Finish(0, 0);
  EXPECT_EQ(dealer_->status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(completed_, ElementsAre(0));
}

TEST_F(DealerTest, HostileResultsAreRefused) {
  for (const std::string& text : {std::string(), std::string("MRGPROG1"), std::string(1000, 'x'),
                                  PackResults("another plan", {ResultOf(0)})}) {
    Start(1);
    Want(0, 1);
    Hello(0);
    Say(0, {.kind = MessageKind::kResult, .text = text});
    EXPECT_FALSE(dealer_->status().ok());
    EXPECT_THAT(completed_, IsEmpty());
  }
}

TEST_F(DealerTest, ARankThatStopsUnaskedIsAFailure) {
  Start(2);
  Hello(0);
  Hello(1);
  Say(1, {.kind = MessageKind::kStopped});
  EXPECT_FALSE(dealer_->status().ok());
}

TEST_F(DealerTest, ASilentRankIsGivenUpAndNamed) {
  Start(2);
  Hello(0);
  Hello(1);
  for (int s = 10; s <= 100; s += 10) {
    now_ = kStart + seconds(s);
    Say(0, {.kind = MessageKind::kProgress});
    EXPECT_TRUE(dealer_->CheckRanks(now_).ok()) << s;
  }
  now_ = kStart + seconds(101);
  const absl::Status status = dealer_->CheckRanks(now_);
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("rank 1 on node1"));
}

TEST_F(DealerTest, AfterAPauseOfRankZeroEverybodyGetsAFullTerm) {
  Start(2);
  Hello(0);
  Hello(1);
  EXPECT_TRUE(dealer_->CheckRanks(kStart + seconds(1000)).ok());
  EXPECT_TRUE(dealer_->CheckRanks(kStart + seconds(1010)).ok());
}

TEST_F(DealerTest, ARankThatLivesButDoesNotStopIsGivenUp) {
  Start(2);
  Hello(0);
  Hello(1);
  dealer_->Fail(absl::DataLossError("x"), now_);
  Say(0, {.kind = MessageKind::kStopped});
  absl::Status status;
  for (int s = 10; s <= 110 && status.ok(); s += 10) {
    now_ = kStart + seconds(s);
    Say(1, {.kind = MessageKind::kProgress});
    status = dealer_->CheckRanks(now_);
    EXPECT_EQ(status.ok(), s <= 100) << s;
  }
  EXPECT_THAT(std::string(status.message()), HasSubstr("rank 1 on node1: did not stop"));
}

}  // namespace
}  // namespace merganser
