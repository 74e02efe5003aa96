// A merge that is killed at any call to its store, and gone on with: the output is
// what an undisturbed merge writes, nothing is left beside it, and what was on
// record is not done again.

#include <algorithm>
#include <filesystem>
#include <memory>
#include <ostream>
#include <set>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "absl/status/status.h"
#include "common/base/executor.h"
#include "common/base/status.h"
#include "common/engine/claim.h"
#include "common/engine/holder.h"
#include "common/engine/job_output.h"
#include "common/engine/progress_log.h"
#include "common/engine/working_folder.h"
#include "common/plan/pieces.h"
#include "common/publish/publish_merge.h"
#include "common/publish/report.h"
#include "common/storage/file/file_store.h"
#include "common/storage/list.h"
#include "common/storage/memory/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/engine/failing_store.h"
#include "tests/common/engine/small_plan.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/test_traits.h"

namespace merganser {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr uint64_t kOldSeed = 7, kNewSeed = 8;
constexpr int kManyCalls = 500;
constexpr size_t kAll = static_cast<size_t>(-1);

struct Scenario {
  const char* name;
  bool on_disk;
  FailWhen when;
  int old_shards;  // 0: the output is empty
  int new_shards;
};

void PrintTo(const Scenario& scenario, std::ostream* out) { *out << scenario.name; }

Plan PlanOf(int shards) { return shards == 1 ? OneShardPlan() : TwoShardPlan(); }

class ResumeCase {
 protected:
  void Open(const std::string& name, bool on_disk) {
    if (on_disk) {
      folder_ = fs::path(scratch_.path()) / name;
      fs::remove_all(folder_);
      uri_ = folder_.string();
      inner_ = MakeFileStore(uri_);
    } else {
      uri_ = "memory://resume";
      inner_ = MakeMemoryStore("resume", TestTraits());
    }
    store_ = std::make_shared<FailingStore>(inner_);
  }

  // As an embedded run goes: one unit after the other is written, made durable and
  // put on record. A failure is a process that was killed: nothing is cleared up.
  absl::Status Merge(const Plan& plan, const std::string& job, bool resume, bool overwrite,
                     uint64_t seed) {
    started_.clear();
    adopted_ = 0;
    JobOutputOptions options;
    options.beat_period = kNoBeats;
    options.job_uid = job;
    options.overwrite = overwrite;
    MERGANSER_ASSIGN_OR_RETURN(OpenedOutput opened,
                               JobOutput::Open(store_, uri_, plan, options, resume));
    if (opened.state == OpenedOutput::State::kComplete) return absl::OkStatus();
    const std::unique_ptr<JobOutput> output = std::move(opened.output);
    std::vector<UnitResult> results = std::move(opened.done);
    EXPECT_TRUE(opened.state == OpenedOutput::State::kResumed || results.empty());
    ProgressLog log(store_, output->job_uid(), output->epoch(), plan);
    MERGANSER_RETURN_IF_ERROR(log.Begin(output->earlier()));
    std::set<uint32_t> done;
    for (const UnitResult& result : results) done.insert(result.unit);
    adopted_ = done.size();
    for (uint32_t unit = 0; unit < plan.units.size(); ++unit) {
      if (done.contains(unit)) continue;
      if (started_.size() == stop_after_) return absl::CancelledError("stopped");
      started_.insert(unit);
      MERGANSER_ASSIGN_OR_RETURN(const UnitResult result,
                                 WriteUnit(plan, unit, output->writes(), *store_, seed));
      MERGANSER_RETURN_IF_ERROR(store_->FlushWrite(output->writes()[plan.units[unit].shard]));
      MERGANSER_RETURN_IF_ERROR(log.Append({result}));
      recorded_.insert(unit);
      results.push_back(result);
    }
    std::sort(results.begin(), results.end(),
              [](const UnitResult& a, const UnitResult& b) { return a.unit < b.unit; });
    return PublishModel(*output, results, MakeReference({{"tokenizer.json", "{}"}}),
                        BuildReport(plan, results, SomeRun()));
  }

  void ExpectHoldsAlone(const Plan& plan, uint64_t seed) {
    for (size_t i = 0; i < plan.shards.size(); ++i) {
      EXPECT_EQ(ReadAll(*inner_, plan.shards[i].key), ShardBytes(plan, i, seed));
    }
    EXPECT_EQ(inner_->Stat("model.safetensors.index.json").value().has_value(),
              plan.shards.size() > 1);
    EXPECT_TRUE(ListAll(*inner_, kWorkPrefix).value().empty());
    for (const std::string& write : store_->OpenWrites()) ADD_FAILURE() << write << " was left";
    SerialExecutor executor;
    const auto verified = VerifyOutput(*inner_, executor);
    EXPECT_TRUE(verified.ok()) << verified.status();
  }

  TempDir scratch_;
  fs::path folder_;
  std::string uri_;
  std::shared_ptr<ObjectStore> inner_;
  std::shared_ptr<FailingStore> store_;
  std::set<uint32_t> started_;   // units that the last Merge began
  std::set<uint32_t> recorded_;  // units whose record was put
  size_t adopted_ = 0;           // units that the last Merge found on record
  size_t stop_after_ = kAll;     // units
};

class ResumeFault : public ResumeCase, public ::testing::TestWithParam<Scenario> {};

INSTANTIATE_TEST_SUITE_P(
    Scenarios, ResumeFault,
    ::testing::Values(Scenario{"OneShard", false, FailWhen::kBefore, 0, 1},
                      Scenario{"OneShardDone", false, FailWhen::kAfter, 0, 1},
                      Scenario{"TwoShards", false, FailWhen::kBefore, 0, 2},
                      Scenario{"TwoShardsDone", false, FailWhen::kAfter, 0, 2},
                      Scenario{"TwoOverOne", false, FailWhen::kBefore, 1, 2},
                      Scenario{"OneOverTwoDone", false, FailWhen::kAfter, 2, 1},
                      Scenario{"OneOverOneDone", false, FailWhen::kAfter, 1, 1},
                      Scenario{"TwoShardsOnDisk", true, FailWhen::kBefore, 0, 2},
                      Scenario{"TwoShardsOnDiskDone", true, FailWhen::kAfter, 0, 2},
                      Scenario{"OneOverTwoOnDisk", true, FailWhen::kBefore, 2, 1}),
    [](const auto& scenario) { return std::string(scenario.param.name); });

TEST_P(ResumeFault, GoesOnFromAnyCall) {
  const Scenario& scenario = GetParam();
  Plan plan = PlanOf(scenario.new_shards);
  const bool overwrite = scenario.old_shards > 0;
  int call = 0, adopting = 0;
  const int step = scenario.on_disk ? 5 : 1;  // a disk is slow
  for (; call < kManyCalls; call += step) {
    Open(scenario.name, scenario.on_disk);
    if (overwrite) {
      Plan old = PlanOf(scenario.old_shards);
      old.digest = std::string(32, 'e');  // of another merge
      ASSERT_TRUE(Merge(old, "merge-0", false, false, kOldSeed).ok());
    }
    recorded_.clear();
    store_->FailAt(call, scenario.when, /*onwards=*/true);
    const absl::Status killed = Merge(plan, "merge-1", false, overwrite, kNewSeed);
    const std::string at = store_->failed();
    if (at.empty()) {
      ASSERT_TRUE(killed.ok()) << killed;
      break;
    }
    SCOPED_TRACE("killed at call " + std::to_string(call) + ": " + at);
    const std::set<uint32_t> recorded = recorded_;
    store_->FailAt(-1, FailWhen::kBefore);
    // Killed before its claim was put, there is nothing to go on with.
    const bool claimed = ReadClaim(*inner_).value().has_value();
    const absl::Status resumed = Merge(plan, "merge-2", true, overwrite && !claimed, kNewSeed);
    ASSERT_TRUE(resumed.ok()) << resumed;
    ExpectHoldsAlone(plan, kNewSeed);
    for (const uint32_t unit : recorded) {
      EXPECT_FALSE(started_.contains(unit)) << "unit " << unit << " was done again";
    }
    if (adopted_ > 0) ++adopting;
  }
  EXPECT_LT(call, kManyCalls);
  EXPECT_GT(adopting, 5 / step);
}

class ResumeTest : public ResumeCase, public ::testing::TestWithParam<const char*> {
 protected:
  ResumeTest() {
    std::string name = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    for (char& c : name) c = c == '/' ? '-' : c;
    Open(name, std::string(GetParam()) == "file");
  }

  void KillAfter(size_t units) {
    stop_after_ = units;
    ASSERT_TRUE(absl::IsCancelled(Merge(plan_, "merge-1", false, false, kNewSeed)));
    stop_after_ = kAll;
  }
  absl::Status Resume(const Plan& plan) { return Merge(plan, "merge-2", true, false, kNewSeed); }
  // The claim, as if another process had written it.
  void Claim(const std::string& job, int64_t pid, const std::string& process) {
    ClaimRecord claim = MakeClaim(job, 1, SystemClock());
    claim.pid = pid;
    claim.process = process;
    ASSERT_TRUE(store_->Put(kClaimKey, WriteClaim(claim)).ok());
  }

  const Plan plan_ = TwoShardPlan();
};

INSTANTIATE_TEST_SUITE_P(Stores, ResumeTest, ::testing::Values("memory", "file"),
                         [](const auto& kind) { return std::string(kind.param); });

TEST_P(ResumeTest, AnotherPlanIsRefusedAndNothingIsLost) {
  KillAfter(3);
  Plan other = plan_;
  other.digest = std::string(32, 'e');
  const absl::Status refused = Resume(other);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr(plan_.digest));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("--overwrite"));
  ASSERT_TRUE(Resume(plan_).ok());
  EXPECT_EQ(adopted_, 3u);
  ExpectHoldsAlone(plan_, kNewSeed);
}

TEST_P(ResumeTest, AJobWhoseProcessRunsIsLeftAlone) {
  KillAfter(2);
  Claim("merge-1", ::getppid(), "");
  const absl::Status refused = Resume(plan_);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("still runs"));
  // Another process has that pid now.
  const std::string self = MakeClaim("merge-1", 1, SystemClock()).process;
  Claim("merge-1", ::getppid(), self.substr(0, self.find(' ')) + " 17");
  ASSERT_TRUE(Resume(plan_).ok());
  EXPECT_EQ(adopted_, 2u);
  ExpectHoldsAlone(plan_, kNewSeed);
}

TEST_P(ResumeTest, ADamagedRecordIsNamedAndNothingIsLost) {
  KillAfter(2);
  const std::string key = std::string(kWorkPrefix) + "merge-1/progress/1-000002";
  const std::string record = ReadAll(*store_, key);
  std::string damaged = record;
  damaged[damaged.size() / 2] ^= 1;
  ASSERT_TRUE(store_->Put(key, damaged).ok());
  const absl::Status refused = Resume(plan_);
  EXPECT_TRUE(absl::IsDataLoss(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("progress/1-000002"));
  ASSERT_TRUE(store_->Put(key, record).ok());
  ASSERT_TRUE(Resume(plan_).ok());
  EXPECT_EQ(adopted_, 2u);
}

// Where pieces are whole, of the shard alone whose write is gone.
TEST_P(ResumeTest, WherePartialFilesAreGoneEverythingIsDoneAgain) {
  KillAfter(3);
  const auto begun = ReadBegunWrites(*store_, "merge-1");
  ASSERT_TRUE(begun.ok() && begun->writes.size() == 2);
  ASSERT_TRUE(store_->AbortWrite(begun->writes[1]).ok());
  ASSERT_TRUE(Resume(plan_).ok());
  EXPECT_EQ(adopted_, store_->traits().whole_pieces ? 2u : 0u);
  EXPECT_EQ(started_.size(), plan_.units.size() - adopted_);
  ExpectHoldsAlone(plan_, kNewSeed);
}

// It was no more than slow: a part of it arrives over one that is on record.
TEST_P(ResumeTest, WhatWasWrittenOverIsDoneAgain) {
  KillAfter(3);
  const auto begun = ReadBegunWrites(*store_, "merge-1");
  ASSERT_TRUE(begun.ok()) << begun.status();
  const bool pieces = store_->traits().whole_pieces;
  const Unit& unit = plan_.units[1];
  uint64_t begin = unit.begin;
  for (const uint64_t end : UnitPieceEnds(plan_, unit)) {
    const std::string garbage(end - begin, 'x');
    ASSERT_TRUE(
        store_->WriteRange(begun->writes.at(unit.shard), begin, std::as_bytes(std::span(garbage)))
            .ok());
    begin = end;
  }
  EXPECT_EQ(begin == unit.end, pieces);
  ASSERT_TRUE(Resume(plan_).ok());
  EXPECT_EQ(adopted_, pieces ? 2u : 3u);
  EXPECT_EQ(started_.contains(1), pieces);
  ExpectHoldsAlone(plan_, kNewSeed);
}

// It was no more than slow: what it puts on record when another one goes on may be of bytes that
// were dropped.
TEST_P(ResumeTest, WhatAStoppedProcessPutsOnRecordLateCountsForNobody) {
  for (const bool adopted : {true, false}) {
    SCOPED_TRACE(adopted);
    KillAfter(1);
    ProgressLog late(store_, "merge-1", 1, plan_);
    ASSERT_TRUE(late.Begin().ok());  // it had
    UnitResult first = ReadProgress(*store_, "merge-1", plan_, 0).value().results.at(0);
    ASSERT_TRUE(late.Append({first}).ok());
    UnitResult result = first;
    result.unit = 3;
    result.segment_digests.resize(plan_.units[3].segments.size(), std::string(32, 'a'));
    if (!adopted) {
      const auto begun = ReadBegunWrites(*store_, "merge-1");
      ASSERT_TRUE(begun.ok()) << begun.status();
      ASSERT_TRUE(store_->AbortWrite(begun->writes.at(0)).ok());
    }
    stop_after_ = 1;
    ASSERT_TRUE(absl::IsCancelled(Resume(plan_)));
    EXPECT_EQ(adopted_, adopted ? 1u : 0u);
    if (!adopted && !store_->traits().whole_pieces) {
      ASSERT_TRUE(late.Begin().ok());  // its records went
    }
    ASSERT_TRUE(late.Append({result}).ok());
    stop_after_ = kAll;
    ASSERT_TRUE(Resume(plan_).ok());
    EXPECT_EQ(adopted_, adopted ? 2u : 1u);
    EXPECT_TRUE(started_.contains(3));
    ExpectHoldsAlone(plan_, kNewSeed);
    Open("late", std::string(GetParam()) == "file");
  }
}

// As versions without epochs left it.
TEST_P(ResumeTest, WhatAnEarlierVersionPutOnRecordCounts) {
  KillAfter(2);
  const std::string folder = std::string(kWorkPrefix) + "merge-1/progress/";
  for (const char* record : {"000000", "000001", "000002"}) {
    ASSERT_TRUE(store_->Put(folder + record, ReadAll(*store_, folder + "1-" + record)).ok());
    ASSERT_TRUE(store_->Delete(folder + "1-" + record).ok());
  }
  const std::string writes = std::string(kWorkPrefix) + "merge-1/writes";
  ASSERT_TRUE(store_->Put(writes + ".json", ReadAll(*store_, writes + "/1-begun.json")).ok());
  ASSERT_TRUE(store_->Delete(writes + "/1.json").ok());
  ASSERT_TRUE(store_->Delete(writes + "/1-begun.json").ok());
  ASSERT_TRUE(Resume(plan_).ok());
  EXPECT_EQ(adopted_, 2u);
  ExpectHoldsAlone(plan_, kNewSeed);
}

TEST_P(ResumeTest, WhatAnEndedMergeLeftIsClearedAndNothingDoneAgain) {
  ASSERT_TRUE(Merge(plan_, "merge-1", false, false, kNewSeed).ok());
  Claim("merge-1", 1 << 30, "");
  ASSERT_TRUE(store_->Put(std::string(kWorkPrefix) + "merge-1/keepsakes/0", "x").ok());
  ASSERT_TRUE(Resume(plan_).ok());
  EXPECT_TRUE(started_.empty());
  ExpectHoldsAlone(plan_, kNewSeed);
}

TEST_P(ResumeTest, AnEndedMergeDoesNotClearWhatAnotherHasBegunOverIt) {
  ASSERT_TRUE(Merge(plan_, "merge-1", false, false, kNewSeed).ok());
  Plan other = OneShardPlan();
  other.digest = std::string(32, 'e');
  stop_after_ = 1;
  ASSERT_TRUE(absl::IsCancelled(Merge(other, "merge-3", false, true, kOldSeed)));
  stop_after_ = kAll;
  EXPECT_TRUE(absl::IsFailedPrecondition(Resume(plan_)));
  ASSERT_TRUE(Merge(other, "merge-4", true, false, kOldSeed).ok());
  EXPECT_EQ(adopted_, 1u);
  ExpectHoldsAlone(other, kOldSeed);
}

// How far that came is on record in its journal alone: resumed without, the coordinator would
// later take the bytes of this run for its job's.
TEST_P(ResumeTest, ACoordinatorsJobIsLeftToItsCoordinator) {
  for (const bool ended : {false, true}) {
    SCOPED_TRACE(ended);
    if (ended) {
      ASSERT_TRUE(Merge(plan_, "merge-1", false, true, kOldSeed).ok());
    }
    JobOutputOptions options;
    options.beat_period = kNoBeats;
    options.job_uid = "0abf637717f6f3cd";
    options.overwrite = true;
    const auto begun = JobOutput::Begin(store_, uri_, plan_, options);
    ASSERT_TRUE(begun.ok()) << begun.status();
    Claim(options.job_uid, 1 << 30, "");
    const auto held = ListAll(*store_, kWorkPrefix);
    ASSERT_TRUE(held.ok() && !held->empty());
    const absl::Status refused = Resume(plan_);
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
    EXPECT_THAT(std::string(refused.message()), HasSubstr("start the coordinator again"));
    EXPECT_EQ(ListAll(*store_, kWorkPrefix)->size(), held->size());
  }
  ASSERT_TRUE(Merge(plan_, "merge-2", false, true, kNewSeed).ok());
  ExpectHoldsAlone(plan_, kNewSeed);
}

TEST_P(ResumeTest, NothingToGoOnWithBeginsOne) {
  ASSERT_TRUE(Resume(plan_).ok());
  EXPECT_EQ(started_.size(), plan_.units.size());
  ExpectHoldsAlone(plan_, kNewSeed);
}

}  // namespace
}  // namespace merganser
