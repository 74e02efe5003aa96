// A process that is killed at any call of a publication, and another that goes on.

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/executor.h"
#include "common/engine/claim.h"
#include "common/engine/holder.h"
#include "common/engine/job_output.h"
#include "common/format/hf_index.h"
#include "common/publish/publish_merge.h"
#include "common/publish/report.h"
#include "common/storage/file/file_store.h"
#include "common/storage/list.h"
#include "common/storage/memory/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/engine/failing_store.h"
#include "tests/common/engine/small_plan.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/test_traits.h"

namespace merganser {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kJob[] = "job-1";
constexpr char kRun[] = "jobs/job-1";

absl::Status NothingToForget() {
  ADD_FAILURE() << "the record was forgotten";
  return absl::OkStatus();
}

class JobRecoveryTest : public ::testing::TestWithParam<const char*> {
 protected:
  // Between two calls at which a process is killed. On a disk, which is slow, not at all of them.
  static int Step() { return std::string(GetParam()) == "file" ? 3 : 1; }

  // A new, empty output.
  void Renew() {
    std::shared_ptr<ObjectStore> inner;
    if (std::string(GetParam()) == "file") {
      folder_ = fs::path(scratch_.path()) / "out";
      fs::remove_all(folder_);
      uri_ = folder_.string();
      inner = MakeFileStore(uri_);
    } else {
      uri_ = "memory://out";
      inner = MakeMemoryStore("out", TestTraits());
    }
    store_ = std::make_shared<FailingStore>(inner);
  }

  JobOutputOptions Options(int epoch) {
    JobOutputOptions options;
    options.beat_period = kNoBeats;
    options.job_uid = kJob;
    options.epoch = epoch;
    return options;
  }
  absl::StatusOr<std::unique_ptr<JobOutput>> Begin(const Plan& plan) {
    return JobOutput::Begin(store_, uri_, plan, Options(5));
  }
  absl::StatusOr<std::unique_ptr<JobOutput>> Resume(
      const Plan& plan, std::vector<UnitResult>& done,
      const std::function<absl::Status()>& forget = NothingToForget) {
    return JobOutput::ResumeJob(store_, uri_, plan, Options(6), done, forget);
  }
  absl::Status Publish(JobOutput& output, const Plan& plan, const std::vector<UnitResult>& results,
                       const std::string& job = kRun) {
    RunFacts run = SomeRun();
    run.job = job;
    return PublishModel(output, results, reference_, BuildReport(plan, results, run));
  }
  void ExpectWhole(const Plan& plan) {
    SerialExecutor executor;
    const auto verified = VerifyOutput(*store_, executor);
    EXPECT_TRUE(verified.ok()) << verified.status();
    for (size_t shard = 0; shard < plan.shards.size(); ++shard) {
      EXPECT_EQ(ReadAll(*store_, plan.shards[shard].key), ShardBytes(plan, shard));
    }
    EXPECT_THAT(ListAll(*store_, kWorkPrefix).value(), IsEmpty());
    EXPECT_THAT(store_->OpenWrites(), IsEmpty());
  }

  const Checkpoint reference_ = MakeReference({{"tokenizer.json", "{}"}});
  TempDir scratch_;
  fs::path folder_;
  std::string uri_;
  std::shared_ptr<FailingStore> store_;
};

INSTANTIATE_TEST_SUITE_P(Stores, JobRecoveryTest, ::testing::Values("memory", "file"),
                         [](const auto& kind) { return std::string(kind.param); });

TEST_P(JobRecoveryTest, APublicationKilledAtAnyCallIsBroughtToItsEnd) {
  for (const Plan& plan : {OneShardPlan(), TwoShardPlan()}) {
    int found = 0, repeated = 0;
    for (int call = 0; call < 200; call += Step()) {
      SCOPED_TRACE(absl::StrCat(plan.shards.size(), " shards, killed at call ", call));
      Renew();
      auto killed = Begin(plan);
      ASSERT_TRUE(killed.ok()) << killed.status();
      const auto results = WriteUnits(plan, (*killed)->writes(), *store_);
      ASSERT_TRUE(results.ok());
      // From this call on nothing gets through, nor is anything cleared up.
      store_->FailAt(call, FailWhen::kBefore, true);
      const absl::Status published = Publish(**killed, plan, *results);
      const bool over = store_->failed().empty();
      store_->FailAt(-1, FailWhen::kBefore);

      const auto report = JobOutput::FindPublished(*store_, plan, kRun, kJob);
      ASSERT_TRUE(report.ok()) << report.status();
      if (report->has_value()) {
        ++found;
        EXPECT_TRUE(SummariseReport(**report).ok());
      } else {
        ++repeated;
        EXPECT_FALSE(published.ok());
        std::vector<UnitResult> done = *results;
        auto resumed = Resume(plan, done);
        ASSERT_TRUE(resumed.ok()) << resumed.status();
        ASSERT_NE(*resumed, nullptr);
        EXPECT_EQ(done.size(), results->size());  // nothing is done twice
        EXPECT_TRUE(Publish(**resumed, plan, done).ok());
      }
      ExpectWhole(plan);
      if (over) break;
    }
    EXPECT_GT(found, 1 / Step());
    EXPECT_GT(repeated, 5 / Step());
  }
}

TEST_P(JobRecoveryTest, DiscardingAfterAKillAtAnyCallLeavesNoModel) {
  for (const Plan& plan : {OneShardPlan(), TwoShardPlan()}) {
    for (int call = 0; call < 200; call += Step()) {
      SCOPED_TRACE(absl::StrCat(plan.shards.size(), " shards, killed at call ", call));
      Renew();
      auto killed = Begin(plan);
      ASSERT_TRUE(killed.ok());
      const auto results = WriteUnits(plan, (*killed)->writes(), *store_);
      ASSERT_TRUE(results.ok());
      store_->FailAt(call, FailWhen::kBefore, true);
      const absl::Status published = Publish(**killed, plan, *results);
      store_->FailAt(-1, FailWhen::kBefore);
      if (published.ok()) break;  // then it is a model, and no job discards it
      ASSERT_TRUE(JobOutput::Discard(*store_, kJob).ok());
      EXPECT_FALSE(LooksLikeModel(*store_));
      for (const PlannedShard& shard : plan.shards) {
        EXPECT_FALSE(store_->Stat(shard.key).value().has_value());
      }
      EXPECT_THAT(ListAll(*store_, kWorkPrefix).value(), IsEmpty());
      EXPECT_THAT(store_->OpenWrites(), IsEmpty());
      EXPECT_TRUE(JobOutput::Discard(*store_, kJob).ok());  // again changes nothing
    }
  }
}

TEST_P(JobRecoveryTest, DiscardingSparesTheModelThatWasToBeReplaced) {
  const Plan plan = OneShardPlan();
  Renew();
  ASSERT_TRUE(store_->Put("model.safetensors", "the old one").ok());
  JobOutputOptions options = Options(5);
  options.overwrite = true;
  ASSERT_TRUE(JobOutput::Begin(store_, uri_, plan, options).ok());
  ASSERT_TRUE(JobOutput::Discard(*store_, kJob).ok());
  EXPECT_EQ(ReadAll(*store_, "model.safetensors"), "the old one");
  EXPECT_THAT(ListAll(*store_, kWorkPrefix).value(), IsEmpty());
}

// An older model has shards of the same names and sizes, and of what the job had written
// somebody removed a part: that does not make the older shard the job's.
TEST_P(JobRecoveryTest, AShardOfTheOlderModelIsNotTakenForTheJobs) {
  for (const Plan& plan : {OneShardPlan(), TwoShardPlan()}) {
    for (const bool discard : {true, false}) {
      SCOPED_TRACE(absl::StrCat(plan.shards.size(), " shards, discard ", discard));
      Renew();
      std::vector<std::string> old;
      for (const PlannedShard& shard : plan.shards) {
        old.emplace_back(shard.size, 'o');
        ASSERT_TRUE(store_->Put(shard.key, old.back()).ok());
      }
      if (plan.shards.size() > 1) {
        ASSERT_TRUE(store_->Put(kHfIndexFile, "{\"weight_map\": {}}").ok());
      }
      JobOutputOptions options = Options(5);
      options.overwrite = true;
      auto killed = JobOutput::Begin(store_, uri_, plan, options);
      ASSERT_TRUE(killed.ok()) << killed.status();
      const auto results = WriteUnits(plan, (*killed)->writes(), *store_);
      ASSERT_TRUE(results.ok());
      ASSERT_TRUE(store_->AbortWrite((*killed)->writes()[0]).ok());
      if (discard) {
        ASSERT_TRUE(JobOutput::Discard(*store_, kJob).ok());
        EXPECT_THAT(ListAll(*store_, kWorkPrefix).value(), IsEmpty());
      } else {
        std::vector<UnitResult> done = *results;
        int forgotten = 0;
        auto resumed = Resume(plan, done, [&] {
          ++forgotten;
          return absl::OkStatus();
        });
        ASSERT_TRUE(resumed.ok()) << resumed.status();
        // Where pieces are whole, the shard alone is begun again.
        const bool pieces = store_->traits().whole_pieces;
        EXPECT_EQ(forgotten, pieces ? 0 : 1);
        EXPECT_EQ(done.empty(), !pieces || plan.shards.size() == 1);
        for (const UnitResult& result : done) EXPECT_EQ(plan.units[result.unit].shard, 1u);
      }
      for (size_t i = 0; i < old.size(); ++i) {
        EXPECT_EQ(ReadAll(*store_, plan.shards[i].key), old[i]);
      }
    }
  }
}

TEST_P(JobRecoveryTest, WhatIsOnRecordStaysAndTheRestIsWritten) {
  const Plan plan = TwoShardPlan();
  Renew();
  auto killed = Begin(plan);
  ASSERT_TRUE(killed.ok());
  auto results = WriteUnits(plan, (*killed)->writes(), *store_);
  ASSERT_TRUE(results.ok());
  std::vector<UnitResult> done = {results->front()};
  auto resumed = Resume(plan, done);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(done.size(), 1u);
  EXPECT_EQ((*resumed)->writes().size(), 2u);
  EXPECT_EQ(ReadClaim(*store_).value()->epoch, 6);
  // The killed one, should it live, publishes nothing any more.
  EXPECT_TRUE(absl::IsFailedPrecondition(Publish(**killed, plan, *results)));
  EXPECT_TRUE(Publish(**resumed, plan, *results).ok());
  ExpectWhole(plan);
}

// One that stalled, say, and wakes when another process has taken its job up: the writes and
// the working folder are the same.
TEST_P(JobRecoveryTest, WhoLostAJobToAnotherProcessLeavesItAlone) {
  const Plan plan = TwoShardPlan();
  Renew();
  auto stalled = Begin(plan);
  ASSERT_TRUE(stalled.ok());
  const auto results = WriteUnits(plan, (*stalled)->writes(), *store_);
  ASSERT_TRUE(results.ok());
  std::vector<UnitResult> done = *results;
  auto resumed = Resume(plan, done);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_TRUE(absl::IsFailedPrecondition(Publish(**stalled, plan, *results)));
  EXPECT_TRUE((*stalled)->Abandon().ok());
  EXPECT_EQ(store_->OpenWrites().size(), 2u);
  EXPECT_EQ(ReadClaim(*store_).value()->epoch, 6);
  EXPECT_TRUE(Publish(**resumed, plan, done).ok());
  ExpectWhole(plan);
}

TEST_P(JobRecoveryTest, AMergeThatRunsIsNotOverwritten) {
  const Plan plan = OneShardPlan();
  Renew();
  ASSERT_TRUE(Begin(plan).ok());
  ClaimRecord claim = MakeClaim(kJob, 5, SystemClock());
  claim.pid = ::getppid();
  claim.process = "";
  ASSERT_TRUE(store_->Put(kClaimKey, WriteClaim(claim)).ok());
  JobOutputOptions options = Options(1);
  options.job_uid = "other";
  options.overwrite = true;
  const auto refused = JobOutput::Begin(store_, uri_, plan, options);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused.status())) << refused.status();
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("still runs on this machine"));
  EXPECT_EQ(store_->OpenWrites().size(), 1u);
}

TEST_P(JobRecoveryTest, WithoutItsWritesTheRecordGoesBeforeTheyAreBegunAnew) {
  const Plan plan = TwoShardPlan();
  Renew();
  if (store_->traits().whole_pieces) return;  // gone_writes_test.cc
  auto killed = Begin(plan);
  ASSERT_TRUE(killed.ok());
  const auto results = WriteUnits(plan, (*killed)->writes(), *store_);
  ASSERT_TRUE(results.ok());
  ASSERT_TRUE(store_->AbortWrite((*killed)->writes()[1]).ok());
  std::vector<UnitResult> done = *results;
  // As long as the record cannot be dropped, nothing is begun.
  const auto refused = Resume(plan, done, [] { return absl::UnavailableError("not now"); });
  EXPECT_TRUE(absl::IsUnavailable(refused.status()));
  EXPECT_EQ(store_->OpenWrites().size(), 1u);
  int forgotten = 0;
  auto resumed = Resume(plan, done, [&] {
    ++forgotten;
    EXPECT_EQ(store_->OpenWrites().size(), 1u);
    return absl::OkStatus();
  });
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(forgotten, 1);
  EXPECT_THAT(done, IsEmpty());
  EXPECT_EQ(store_->OpenWrites().size(), 2u);
  const auto again = WriteUnits(plan, (*resumed)->writes(), *store_);
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(Publish(**resumed, plan, *again).ok());
  ExpectWhole(plan);
}

TEST_P(JobRecoveryTest, AnotherJobsClaimIsLeftAlone) {
  const Plan plan = OneShardPlan();
  Renew();
  std::vector<UnitResult> done;
  const auto none = Resume(plan, done);
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(*none, nullptr);
  JobOutputOptions options = Options(1);
  options.job_uid = "other";
  auto other = JobOutput::Begin(store_, uri_, plan, options);
  ASSERT_TRUE(other.ok());
  const auto refused = Resume(plan, done);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused.status()));
  EXPECT_THAT(std::string(refused.status().message()),
              AllOf(HasSubstr("held by job other"), HasSubstr("expected job job-1")));
  EXPECT_TRUE(JobOutput::Discard(*store_, kJob).ok());
  EXPECT_EQ(ReadClaim(*store_).value()->job, "other");
  EXPECT_EQ(store_->OpenWrites().size(), 1u);
  EXPECT_TRUE((*other)->Abandon().ok());
}

TEST_P(JobRecoveryTest, AJobWhoseProcessRunsIsLeftAlone) {
  const Plan plan = OneShardPlan();
  Renew();
  ASSERT_TRUE(Begin(plan).ok());
  ClaimRecord claim = MakeClaim(kJob, 5, SystemClock());
  claim.pid = ::getppid();
  claim.process = "";
  ASSERT_TRUE(store_->Put(kClaimKey, WriteClaim(claim)).ok());
  std::vector<UnitResult> done;
  const auto refused = Resume(plan, done);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused.status()));
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("still runs on this machine"));
  EXPECT_TRUE(JobOutput::Discard(*store_, kJob).ok());
  EXPECT_EQ(store_->OpenWrites().size(), 1u);
  EXPECT_EQ(ReadClaim(*store_).value()->pid, ::getppid());
}

// On another machine nobody can be asked: whatever would take its claim over waits for its beat.
TEST_P(JobRecoveryTest, AHolderOnAnotherMachineIsWatched) {
  const Plan plan = TwoShardPlan();
  const auto forget = NothingToForget;
  JobOutputOptions other = Options(1);
  other.job_uid = "other";
  other.overwrite = true;
  struct Case {
    const char* name;
    std::function<absl::Status(HolderWatch&)> take_over;
  };
  std::vector<UnitResult> done;
  const std::vector<Case> cases = {
      {"resume a job",
       [&](HolderWatch& watch) {
         return JobOutput::ResumeJob(store_, uri_, plan, Options(6), done, forget, &watch).status();
       }},
      {"overwrite",
       [&](HolderWatch& watch) {
         return JobOutput::Begin(store_, uri_, plan, other, &watch).status();
       }},
      {"discard", [&](HolderWatch& watch) { return JobOutput::Discard(*store_, kJob, &watch); }},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    Renew();
    ASSERT_TRUE(Begin(plan).ok());
    ClaimRecord claim = MakeClaim(kJob, 5, SystemClock());
    claim.host += "-elsewhere";
    ASSERT_TRUE(store_->Put(kClaimKey, WriteClaim(claim)).ok());
    FakeClock clock;
    HolderWatch watch(clock);
    for (int beat = 0; beat < 2; ++beat) {
      ASSERT_TRUE(store_->Put(BeatKey(kJob, 5), absl::StrCat(beat)).ok());
      const absl::Status refused = one.take_over(watch);
      EXPECT_TRUE(absl::IsAborted(refused)) << refused;
      clock.Advance(std::chrono::seconds(30));
    }
    EXPECT_EQ(ReadClaim(*store_).value()->host, claim.host);
    EXPECT_EQ(store_->OpenWrites().size(), 2u);
    clock.Advance(std::chrono::seconds(30));
    EXPECT_TRUE(one.take_over(watch).ok());
    const std::optional<ClaimRecord> now = ReadClaim(*store_).value();
    EXPECT_TRUE(!now.has_value() || now->host != claim.host);
  }
}

TEST_P(JobRecoveryTest, AnOutputOfAnotherPlanIsNotTakenForPublished) {
  Plan plan = TwoShardPlan();
  plan.digest = std::string(32, 'a');
  Renew();
  auto output = Begin(plan);
  ASSERT_TRUE(output.ok());
  const auto results = WriteUnits(plan, (*output)->writes(), *store_);
  ASSERT_TRUE(results.ok());
  ASSERT_TRUE(Publish(**output, plan, *results).ok());
  EXPECT_TRUE(JobOutput::FindPublished(*store_, plan, kRun, kJob).value().has_value());
  Plan other = plan;
  other.digest = std::string(32, 'b');
  EXPECT_FALSE(JobOutput::FindPublished(*store_, other, kRun, kJob).value().has_value());
  ASSERT_TRUE(store_->Delete("model.safetensors.index.json").ok());
  EXPECT_FALSE(JobOutput::FindPublished(*store_, plan, kRun, kJob).value().has_value());
}

// Killed once its publication is on record and before the old output goes: what stands there is
// of the same plan, and another job's.
TEST_P(JobRecoveryTest, AnOlderOutputOfTheSamePlanIsNotTakenForPublished) {
  const Plan plan = TwoShardPlan();
  Renew();
  auto older = Begin(plan);
  ASSERT_TRUE(older.ok());
  const auto results = WriteUnits(plan, (*older)->writes(), *store_);
  ASSERT_TRUE(results.ok());
  ASSERT_TRUE(Publish(**older, plan, *results, "jobs/older").ok());

  JobOutputOptions options = Options(5);
  options.overwrite = true;
  auto killed = JobOutput::Begin(store_, uri_, plan, options);
  ASSERT_TRUE(killed.ok()) << killed.status();
  const auto written = WriteUnits(plan, (*killed)->writes(), *store_);
  ASSERT_TRUE(written.ok());
  EXPECT_FALSE(JobOutput::FindPublished(*store_, plan, kRun, kJob).value().has_value());
  std::vector<UnitResult> done = *written;
  auto resumed = Resume(plan, done);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  ASSERT_NE(*resumed, nullptr);
  EXPECT_EQ(done.size(), results->size());
  ASSERT_TRUE(Publish(**resumed, plan, done).ok());
  EXPECT_TRUE(JobOutput::FindPublished(*store_, plan, kRun, kJob).value().has_value());
  ExpectWhole(plan);
}

}  // namespace
}  // namespace merganser
