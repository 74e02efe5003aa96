// Uploads that the store dropped under a job: a rule of the bucket, or a person, ended them. Their
// shards are begun again, those alone, by a run that goes on and by one that was killed anywhere.

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/executor.h"
#include "common/engine/claim.h"
#include "common/engine/holder.h"
#include "common/engine/job_output.h"
#include "common/engine/progress_log.h"
#include "common/engine/working_folder.h"
#include "common/publish/publish_merge.h"
#include "common/publish/report.h"
#include "common/storage/list.h"
#include "common/storage/memory/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/engine/failing_store.h"
#include "tests/common/engine/small_plan.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;

constexpr StoreTraits kPieces = {
    .whole_pieces = true, .least_piece = 16, .good_piece = 64, .knows_writers = false};

class GoneWritesTest : public ::testing::Test {
 protected:
  GoneWritesTest() { Open("gone", kPieces); }

  void Open(const std::string& name, const StoreTraits& traits) {
    output_.reset();
    plan_.output = traits;
    inner_ = MakeMemoryStore(name, traits);
    store_ = std::make_shared<FailingStore>(inner_);
  }

  void Begin() {
    JobOutputOptions options;
    options.job_uid = "merge-1";
    options.beat_period = kNoBeats;
    auto output = JobOutput::Begin(store_, "memory://gone", plan_, options);
    ASSERT_TRUE(output.ok()) << output.status();
    output_ = *std::move(output);
    BeginLog();
  }
  void BeginLog() {
    log_ = std::make_unique<ProgressLog>(store_, output_->job_uid(), output_->epoch(), plan_);
    ASSERT_TRUE(log_->Begin(output_->earlier()).ok());
  }
  // Writes the units that `done` lacks, and puts each on record.
  absl::Status Write(size_t most, std::vector<UnitResult>& done) {
    for (uint32_t unit = 0; unit < plan_.units.size() && most > 0; ++unit) {
      if (std::any_of(done.begin(), done.end(),
                      [&](const UnitResult& result) { return result.unit == unit; })) {
        continue;
      }
      auto result = WriteUnit(plan_, unit, output_->writes(), *store_);
      if (!result.ok()) return result.status();
      const absl::Status recorded = log_->Append({*result});
      if (!recorded.ok()) return recorded;
      done.push_back(*std::move(result));
      --most;
    }
    return absl::OkStatus();
  }
  void PublishAndCheck(std::vector<UnitResult> results) {
    std::sort(results.begin(), results.end(),
              [](const UnitResult& a, const UnitResult& b) { return a.unit < b.unit; });
    const absl::Status published =
        PublishModel(*output_, results, MakeReference({}), BuildReport(plan_, results, SomeRun()));
    ASSERT_TRUE(published.ok()) << published;
    for (size_t i = 0; i < plan_.shards.size(); ++i) {
      EXPECT_EQ(ReadAll(*inner_, plan_.shards[i].key), ShardBytes(plan_, i));
    }
    EXPECT_TRUE(ListAll(*inner_, kWorkPrefix).value().empty());
    EXPECT_THAT(store_->OpenWrites(), ::testing::IsEmpty());
    SerialExecutor executor;
    const auto verified = VerifyOutput(*inner_, executor);
    EXPECT_TRUE(verified.ok()) << verified.status();
  }

  Plan plan_ = TwoShardPlan();  // of two units each
  std::shared_ptr<ObjectStore> inner_;
  std::shared_ptr<FailingStore> store_;
  std::unique_ptr<JobOutput> output_;
  std::unique_ptr<ProgressLog> log_;
};

TEST_F(GoneWritesTest, ARunBeginsThemAgainAndKeepsTheRest) {
  Begin();
  std::vector<UnitResult> done;
  ASSERT_TRUE(Write(3, done).ok());
  EXPECT_FALSE(output_->WritesAreGone().value());
  const std::vector<PlannedWrite> before = output_->writes();
  ASSERT_TRUE(store_->AbortWrite(before[1]).ok());
  EXPECT_TRUE(output_->WritesAreGone().value());
  ASSERT_TRUE(output_->BeginGoneWrites(done).value());
  EXPECT_EQ(output_->writes()[0].upload, before[0].upload);
  EXPECT_NE(output_->writes()[1].upload, before[1].upload);
  EXPECT_EQ(output_->writes()[1].ends, before[1].ends);
  ASSERT_EQ(done.size(), 2u);  // those of the first shard
  EXPECT_FALSE(output_->BeginGoneWrites(done).value());
  ASSERT_TRUE(Write(4, done).ok());
  PublishAndCheck(done);
}

TEST_F(GoneWritesTest, AgainAndAgain) {
  Begin();
  std::vector<UnitResult> done;
  for (int times = 0; times < 3; ++times) {
    ASSERT_TRUE(Write(4, done).ok());
    ASSERT_TRUE(store_->AbortWrite(output_->writes()[0]).ok());
    if (times == 1) {
      ASSERT_TRUE(store_->AbortWrite(output_->writes()[1]).ok());
    }
    ASSERT_TRUE(output_->BeginGoneWrites(done).value());
    EXPECT_EQ(done.size(), times == 1 ? 0u : 2u);
  }
  ASSERT_TRUE(Write(4, done).ok());
  PublishAndCheck(done);
}

TEST_F(GoneWritesTest, ARunGoesOnAsItsOwnSuccessor) {
  Begin();
  std::vector<UnitResult> done;
  ASSERT_TRUE(Write(3, done).ok());
  ASSERT_TRUE(store_->AbortWrite(output_->writes()[0]).ok());
  const int64_t epoch = output_->epoch();
  done.clear();
  auto own = JobOutput::ResumeOwn(std::move(output_), done);
  ASSERT_TRUE(own.ok()) << own.status();
  output_ = *std::move(own);
  EXPECT_EQ(output_->epoch(), epoch + 1);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].unit, 2u);
  BeginLog();
  ASSERT_TRUE(Write(4, done).ok());
  PublishAndCheck(done);
}

// What a record says of the upload that is gone never counts for the one that took its place.
TEST_F(GoneWritesTest, KilledAtAnyCallOfItOthersGoOn) {
  int call = 0, adopted = 0;
  for (;; ++call) {
    ASSERT_LT(call, 100);
    Open("gone-" + std::to_string(call), kPieces);
    Begin();
    std::vector<UnitResult> done;
    ASSERT_TRUE(Write(3, done).ok());
    ASSERT_TRUE(store_->AbortWrite(output_->writes()[0]).ok());
    store_->FailAt(call, call % 2 == 0 ? FailWhen::kBefore : FailWhen::kAfter, /*onwards=*/true);
    const bool begun = output_->BeginGoneWrites(done).ok();
    const std::string at = store_->failed();
    SCOPED_TRACE("killed at call " + std::to_string(call) + ": " + at);
    store_->FailAt(-1, FailWhen::kBefore);
    output_.reset();  // as a process that is gone: the claim stays
    for (int resumed = 0; resumed < 2; ++resumed) {
      done.clear();
      JobOutputOptions options;
      options.beat_period = kNoBeats;
      auto next = JobOutput::Open(store_, "memory://gone", plan_, options, /*resume=*/true);
      ASSERT_TRUE(next.ok()) << next.status();
      ASSERT_EQ(next->state, OpenedOutput::State::kResumed);
      done = std::move(next->done);
      EXPECT_EQ(done.size(), resumed == 0 ? 1u : 2u);
      output_ = std::move(next->output);
      BeginLog();
      if (resumed == 0) {
        ASSERT_TRUE(Write(1, done).ok());
      }
    }
    ++adopted;
    ASSERT_TRUE(Write(4, done).ok());
    PublishAndCheck(done);
    if (at.empty()) {
      EXPECT_TRUE(begun);
      break;
    }
  }
  EXPECT_GT(adopted, 5);
}

TEST_F(GoneWritesTest, WhoLostTheClaimBeginsNothing) {
  Begin();
  std::vector<UnitResult> done;
  ASSERT_TRUE(Write(3, done).ok());
  ClaimRecord other = MakeClaim("merge-2", 2, SystemClock());
  ASSERT_TRUE(inner_->Put(kClaimKey, WriteClaim(other)).ok());
  ASSERT_TRUE(store_->AbortWrite(output_->writes()[1]).ok());
  const auto begun = output_->BeginGoneWrites(done);
  EXPECT_TRUE(absl::IsFailedPrecondition(begun.status())) << begun.status();
  EXPECT_EQ(done.size(), 3u);
  EXPECT_EQ(store_->OpenWrites().size(), 1u);
  ASSERT_TRUE(inner_->Delete(kClaimKey).ok());
}

TEST_F(GoneWritesTest, WhereRangesAreFreeNothingIsBegunAgain) {
  Open("gone-free", {});
  Begin();
  std::vector<UnitResult> done;
  ASSERT_TRUE(Write(3, done).ok());
  ASSERT_TRUE(store_->AbortWrite(output_->writes()[1]).ok());
  EXPECT_FALSE(output_->WritesAreGone().value());
  EXPECT_FALSE(output_->BeginGoneWrites(done).value());
  EXPECT_EQ(done.size(), 3u);
}

}  // namespace
}  // namespace merganser
