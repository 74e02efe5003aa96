// Every call that Begin, Publish and Abandon make fails once, before or after it
// took effect, alone or with all that follow. Whatever happens, a reader sees
// the old model, the new model, or none.
#include <filesystem>
#include <optional>
#include <ostream>
#include <system_error>

#include "common/base/executor.h"
#include "common/engine/claim.h"
#include "common/engine/job_output.h"
#include "common/publish/publish_merge.h"
#include "common/publish/report.h"
#include "common/storage/file/file_store.h"
#include "common/storage/list.h"
#include "common/storage/memory/memory_store.h"
#include "common/storage/read_whole.h"
#include "gtest/gtest.h"
#include "tests/common/engine/failing_store.h"
#include "tests/common/engine/small_plan.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/test_traits.h"

namespace merganser {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kOldSeed = 7, kNewSeed = 8;
// More calls than any of these merges makes.
constexpr int kManyCalls = 500;

struct Scenario {
  const char* name;
  bool on_disk;
  FailWhen when;
  bool onwards;
  int old_shards;  // 0: the output is empty
  int new_shards;
};

void PrintTo(const Scenario& scenario, std::ostream* out) { *out << scenario.name; }

Plan PlanOf(int shards) { return shards == 1 ? OneShardPlan() : TwoShardPlan(); }

class JobOutputFault : public ::testing::TestWithParam<Scenario> {
 protected:
  JobOutputFault() {
    if (GetParam().on_disk) folder_ = fs::path(scratch_.path()) / "out";
  }
  // Between two calls that fail. On a disk, which is slow, not all do.
  static int Step() { return GetParam().on_disk ? 5 : 1; }

  void Fresh() {
    if (GetParam().on_disk) {
      fs::remove_all(folder_);
      inner_ = MakeFileStore(folder_.string());
    } else {
      inner_ = MakeMemoryStore("fault", TestTraits());
    }
    store_ = std::make_shared<FailingStore>(inner_);
    if (GetParam().old_shards == 0) return;
    const Plan plan = PlanOf(GetParam().old_shards);
    ASSERT_TRUE(Merge(plan, inner_, "job-0", false, kOldSeed).ok());
  }

  absl::Status Merge(const Plan& plan, const std::shared_ptr<ObjectStore>& store,
                     const std::string& job, bool overwrite, uint64_t seed) {
    JobOutputOptions options;
    options.beat_period = kNoBeats;
    options.job_uid = job;
    options.overwrite = overwrite;
    absl::StatusOr<std::unique_ptr<JobOutput>> output = JobOutput::Begin(
        store, GetParam().on_disk ? folder_.string() : "memory://fault", plan, options);
    begun_ = output.ok();
    if (!output.ok()) return output.status();
    // Units are not this test's subject.
    const auto results = WriteUnits(plan, (*output)->writes(), *inner_, seed);
    if (!results.ok()) return results.status();
    const absl::Status status =
        PublishModel(**output, *results, MakeReference({{"tokenizer.json", "{}"}}),
                     BuildReport(plan, *results, SomeRun()));
    if (!status.ok()) {
      ExpectWholeOrNothing();
      (void)(*output)->Abandon();
    } else {
      warned_ = !(*output)->warnings().empty();
    }
    return status;
  }

  bool Holds(int shards, uint64_t seed) {
    const Plan plan = PlanOf(shards);
    for (size_t i = 0; i < plan.shards.size(); ++i) {
      const auto text = ReadWhole(*inner_, plan.shards[i].key, 1 << 20);
      if (!text.ok() || !text->has_value() || **text != ShardBytes(plan, i, seed)) return false;
    }
    const bool index = inner_->Stat("model.safetensors.index.json").value().has_value();
    return index == (shards > 1);
  }
  void ExpectWholeOrNothing() {
    if (!LooksLikeModel(*inner_)) return;
    EXPECT_TRUE((GetParam().old_shards > 0 && Holds(GetParam().old_shards, kOldSeed)) ||
                Holds(GetParam().new_shards, kNewSeed))
        << "after " << store_->failed();
  }
  void ExpectNoTrace() {
    EXPECT_TRUE(ListAll(*inner_, "").value().empty()) << "after " << store_->failed();
    ExpectNoOpenWrites();
    if (!GetParam().on_disk || !fs::exists(folder_)) return;
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
      // An empty folder is no object: stores may keep it.
      if (!entry.is_directory())
        ADD_FAILURE() << entry.path() << " was left after " << store_->failed();
    }
  }

  void ExpectNoOpenWrites() {
    for (const std::string& write : store_->OpenWrites()) {
      ADD_FAILURE() << write << " was left after " << store_->failed();
    }
  }

  TempDir scratch_;
  fs::path folder_;
  std::shared_ptr<ObjectStore> inner_;
  std::shared_ptr<FailingStore> store_;
  bool begun_ = false;
  bool warned_ = false;
};

INSTANTIATE_TEST_SUITE_P(
    Scenarios, JobOutputFault,
    ::testing::Values(Scenario{"OneShard", false, FailWhen::kBefore, false, 0, 1},
                      Scenario{"OneShardAnswerLost", false, FailWhen::kAfter, false, 0, 1},
                      Scenario{"TwoShards", false, FailWhen::kBefore, false, 0, 2},
                      Scenario{"TwoShardsAnswerLost", false, FailWhen::kAfter, false, 0, 2},
                      Scenario{"TwoShardsStoreGone", false, FailWhen::kBefore, true, 0, 2},
                      Scenario{"OneShardStoreGoneAnswerLost", false, FailWhen::kAfter, true, 0, 1},
                      Scenario{"TwoOverOne", false, FailWhen::kBefore, false, 1, 2},
                      Scenario{"TwoOverOneAnswerLost", false, FailWhen::kAfter, false, 1, 2},
                      Scenario{"TwoOverOneStoreGone", false, FailWhen::kBefore, true, 1, 2},
                      Scenario{"OneOverTwo", false, FailWhen::kBefore, false, 2, 1},
                      Scenario{"OneOverTwoStoreGone", false, FailWhen::kBefore, true, 2, 1},
                      Scenario{"OneOverOneStoreGone", false, FailWhen::kBefore, true, 1, 1},
                      Scenario{"TwoShardsStoreGoneAnswerLost", false, FailWhen::kAfter, true, 0, 2},
                      Scenario{"TwoShardsOnDisk", true, FailWhen::kBefore, false, 0, 2},
                      Scenario{"TwoShardsOnDiskAnswerLost", true, FailWhen::kAfter, false, 0, 2},
                      Scenario{"TwoOverOneOnDiskStoreGone", true, FailWhen::kBefore, true, 1, 2}),
    [](const auto& scenario) { return std::string(scenario.param.name); });

TEST_P(JobOutputFault, LeavesTheOldModelTheNewOneOrNone) {
  const Scenario& scenario = GetParam();
  const Plan plan = PlanOf(scenario.new_shards);
  const bool overwrite = scenario.old_shards > 0;
  const int step = Step();
  int failed_begins = 0, failed_publications = 0, call = 0;
  for (; call < kManyCalls; call += step) {
    ASSERT_NO_FATAL_FAILURE(Fresh());
    store_->FailAt(call, scenario.when, scenario.onwards);
    const absl::Status status = Merge(plan, store_, "job-1", overwrite, kNewSeed);
    const std::string failed = store_->failed();
    if (failed.empty()) {
      ASSERT_TRUE(status.ok()) << status;
      break;
    }
    SCOPED_TRACE("call " + std::to_string(call) + ": " + failed);
    ExpectWholeOrNothing();
    if (status.ok()) {
      // Only clearing up failed: the model is there, and whoever asked is told. Or what could not
      // be begun was begun once more.
      const bool again = !inner_->traits().knows_writers && failed.starts_with("BeginWrite ");
      EXPECT_TRUE(warned_ || again);
      EXPECT_TRUE(Holds(scenario.new_shards, kNewSeed));
    } else {
      EXPECT_TRUE(absl::IsUnavailable(status)) << status;
      begun_ ? ++failed_publications : ++failed_begins;
      if (!scenario.onwards && !overwrite) ExpectNoTrace();
    }
    // Whatever was left, a new job with --overwrite gets through and clears it.
    store_->FailAt(-1, FailWhen::kBefore);
    const absl::Status again = Merge(plan, store_, "job-2", true, kNewSeed);
    EXPECT_TRUE(again.ok()) << again;
    ExpectNoOpenWrites();
    EXPECT_TRUE(Holds(scenario.new_shards, kNewSeed));
    EXPECT_TRUE(ListAll(*inner_, kWorkPrefix).value().empty());
    SerialExecutor executor;
    const auto verified = VerifyOutput(*inner_, executor);
    EXPECT_TRUE(verified.ok()) << verified.status();
  }
  EXPECT_LT(call, kManyCalls);
  EXPECT_GT(failed_begins, 3 / step);
  EXPECT_GT(failed_publications, 5 / step);
}

TEST_P(JobOutputFault, APublicationThatFailedForNowIsTriedAgain) {
  const Scenario& scenario = GetParam();
  const Plan plan = PlanOf(scenario.new_shards);
  const int step = Step();
  int failed_publications = 0, call = 0;
  for (; call < kManyCalls; call += step) {
    ASSERT_NO_FATAL_FAILURE(Fresh());
    JobOutputOptions options;
    options.beat_period = kNoBeats;
    options.job_uid = "job-1";
    options.overwrite = scenario.old_shards > 0;
    const auto output = JobOutput::Begin(
        store_, scenario.on_disk ? folder_.string() : "memory://fault", plan, options);
    ASSERT_TRUE(output.ok()) << output.status();
    const auto results = WriteUnits(plan, (*output)->writes(), *inner_, kNewSeed);
    ASSERT_TRUE(results.ok()) << results.status();
    const Checkpoint reference = MakeReference({{"tokenizer.json", "{}"}});
    const std::string report = BuildReport(plan, *results, SomeRun());
    store_->FailAt(call, scenario.when, scenario.onwards);
    const absl::Status status = PublishModel(**output, *results, reference, report);
    const std::string failed = store_->failed();
    SCOPED_TRACE("call " + std::to_string(call) + ": " + failed);
    ExpectWholeOrNothing();
    store_->FailAt(-1, FailWhen::kBefore);
    if (!status.ok()) {
      ++failed_publications;
      const absl::Status again = PublishModel(**output, *results, reference, report);
      EXPECT_TRUE(again.ok()) << again;
      EXPECT_TRUE(ListAll(*inner_, kWorkPrefix).value().empty());
      ExpectNoOpenWrites();
    }
    EXPECT_TRUE(Holds(scenario.new_shards, kNewSeed));
    SerialExecutor executor;
    const auto verified = VerifyOutput(*inner_, executor);
    EXPECT_TRUE(verified.ok()) << verified.status();
    if (failed.empty()) break;
  }
  EXPECT_LT(call, kManyCalls);
  EXPECT_GT(failed_publications, 5 / step);
}

}  // namespace
}  // namespace merganser
