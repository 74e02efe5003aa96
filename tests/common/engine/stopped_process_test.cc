// A process that is stopped before any call to its store, taken for dead, and woken when another
// one has taken its output over: it changes nothing of what that one made or makes.

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <ostream>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include "absl/status/status.h"
#include "common/base/executor.h"
#include "common/base/status.h"
#include "common/engine/claim.h"
#include "common/engine/job_output.h"
#include "common/engine/progress_log.h"
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

constexpr uint64_t kOldSeed = 7, kSeed = 8, kOtherSeed = 9;
constexpr int kManyCalls = 500;

// What happens while it is stopped. Half: the other one has the output, and publishes when the
// stopped one has come to its end.
enum class Taker {
  kOverwrites,
  kResumes,
  kResumesAndAnotherOverwrites,
  kOverwritesHalf,
  kResumesHalf
};

struct Scenario {
  const char* name;
  bool on_disk;
  int old_shards;  // 0: the output is empty
  int shards;
  Taker taker;
};

void PrintTo(const Scenario& scenario, std::ostream* out) { *out << scenario.name; }

Plan PlanOf(int shards, char digest) {
  Plan plan = shards == 1 ? OneShardPlan() : TwoShardPlan();
  plan.digest = std::string(32, digest);
  return plan;
}

class StoppedProcess : public ::testing::TestWithParam<Scenario> {
 protected:
  StoppedProcess() {
    if (!GetParam().on_disk) return;
    folder_ = fs::path(scratch_.path()) / "out";
    uri_ = folder_.string();
  }
  void Fresh() {
    if (GetParam().on_disk) {
      fs::remove_all(folder_);
      inner_ = MakeFileStore(uri_);
    } else {
      inner_ = MakeMemoryStore("stopped", TestTraits());
    }
    store_ = std::make_shared<FailingStore>(inner_);
    if (GetParam().old_shards == 0) return;
    Run old(*this, PlanOf(GetParam().old_shards, 'a'), kOldSeed, "{\"old.txt\": 1}");
    ASSERT_TRUE(old.Begin("merge-0", false).ok());
    ASSERT_TRUE(old.End().ok());
  }

  // One merge, as an embedded run goes: every unit is written, made durable and put on record.
  class Run {
   public:
    Run(StoppedProcess& test, Plan plan, uint64_t seed, const std::string& config)
        : test_(test),
          plan_(std::move(plan)),
          seed_(seed),
          reference_(MakeReference({{"tokenizer.json", config}}, config)) {}

    absl::Status Begin(const std::string& job, bool overwrite, bool resume = false) {
      JobOutputOptions options;
      options.beat_period = kNoBeats;
      options.job_uid = job;
      options.overwrite = overwrite;
      MERGANSER_ASSIGN_OR_RETURN(OpenedOutput opened,
                                 JobOutput::Open(test_.store_, test_.uri_, plan_, options, resume));
      output_ = std::move(opened.output);
      results_ = std::move(opened.done);
      return absl::OkStatus();
    }
    // As --resume does.
    absl::Status Resume() { return Begin("merge-2", /*overwrite=*/false, /*resume=*/true); }
    absl::Status End() {
      if (output_ == nullptr) return absl::OkStatus();
      const absl::Status status = WriteAndPublish();
      if (!status.ok()) (void)output_->Abandon();
      return status;
    }
    const Plan& plan() const { return plan_; }

   private:
    absl::Status WriteAndPublish() {
      ObjectStore& store = *test_.store_;
      ProgressLog log(test_.store_, output_->job_uid(), output_->epoch(), plan_);
      MERGANSER_RETURN_IF_ERROR(log.Begin(output_->earlier()));
      std::set<uint32_t> done;
      for (const UnitResult& result : results_) done.insert(result.unit);
      for (uint32_t unit = 0; unit < plan_.units.size(); ++unit) {
        if (done.contains(unit)) continue;
        MERGANSER_ASSIGN_OR_RETURN(const UnitResult result,
                                   WriteUnit(plan_, unit, output_->writes(), store, seed_));
        MERGANSER_RETURN_IF_ERROR(store.FlushWrite(output_->writes()[plan_.units[unit].shard]));
        MERGANSER_RETURN_IF_ERROR(log.Append({result}));
        results_.push_back(result);
      }
      std::sort(results_.begin(), results_.end(),
                [](const UnitResult& a, const UnitResult& b) { return a.unit < b.unit; });
      return PublishModel(*output_, results_, reference_, BuildReport(plan_, results_, SomeRun()));
    }

    StoppedProcess& test_;
    const Plan plan_;
    const uint64_t seed_;
    const Checkpoint reference_;
    std::unique_ptr<JobOutput> output_;
    std::vector<UnitResult> results_;
  };

  // While the process is stopped. Nothing where the output is not, or no longer, its own: then it
  // is only slow.
  void TakeOver() {
    const auto claim = ReadClaim(*inner_);
    ASSERT_TRUE(claim.ok()) << claim.status();
    if (!claim->has_value() || (*claim)->job != "merge-1") return;
    taken_ = true;
    const Taker taker = GetParam().taker;
    if (taker != Taker::kOverwrites && taker != Taker::kOverwritesHalf) {
      resumed_ = std::make_unique<Run>(*this, PlanOf(GetParam().shards, 'b'), kSeed, kConfig);
      const absl::Status status = resumed_->Resume();
      ASSERT_TRUE(status.ok()) << status;
      if (taker != Taker::kResumesHalf) EndTaker(*resumed_);
    }
    if (taker != Taker::kResumes && taker != Taker::kResumesHalf) {
      other_ = std::make_unique<Run>(*this, PlanOf(2, 'c'), kOtherSeed, kOtherConfig);
      const absl::Status status = other_->Begin("merge-3", true);
      ASSERT_TRUE(status.ok()) << status;
      if (taker != Taker::kOverwritesHalf) EndTaker(*other_);
    }
    after_ = Snapshot();
  }
  void EndTaker(Run& run) {
    const absl::Status status = run.End();
    EXPECT_TRUE(status.ok()) << status;
  }

  std::map<std::string, std::string> Snapshot() {
    std::map<std::string, std::string> objects;
    const std::vector<ListedObject> listed = ListAll(*inner_, "").value();
    for (const ListedObject& object : listed) {
      objects[object.key] = ReadAll(*inner_, object.key);
    }
    return objects;
  }

  void ExpectHoldsAlone(int shards, char digest, uint64_t seed, const std::string& config) {
    const Plan plan = PlanOf(shards, digest);
    for (size_t i = 0; i < plan.shards.size(); ++i) {
      EXPECT_EQ(ReadAll(*inner_, plan.shards[i].key), ShardBytes(plan, i, seed));
    }
    EXPECT_EQ(inner_->Stat("model.safetensors.index.json").value().has_value(), shards > 1);
    EXPECT_EQ(ReadAll(*inner_, "tokenizer.json"), config);
    EXPECT_THAT(ReadAll(*inner_, "merge_report.json"), ::testing::HasSubstr(plan.digest));
    EXPECT_TRUE(ListAll(*inner_, kWorkPrefix).value().empty());
    for (const std::string& write : store_->OpenWrites()) ADD_FAILURE() << write << " was left";
    SerialExecutor executor;
    const auto verified = VerifyOutput(*inner_, executor);
    EXPECT_TRUE(verified.ok()) << verified.status();
    if (folder_.empty()) return;
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
      if (!entry.is_directory() && entry.path().filename().string().front() == '.') {
        ADD_FAILURE() << entry.path() << " was left";
      }
    }
  }

  static constexpr char kConfig[] = "{\"model_type\": \"this\"}";
  static constexpr char kOtherConfig[] = "{\"model_type\": \"other\"}";
  TempDir scratch_;
  fs::path folder_;
  std::string uri_ = "memory://stopped";
  std::shared_ptr<ObjectStore> inner_;
  std::shared_ptr<FailingStore> store_;
  bool taken_ = false;
  std::unique_ptr<Run> resumed_, other_;
  std::map<std::string, std::string> after_;
};

INSTANTIATE_TEST_SUITE_P(
    Scenarios, StoppedProcess,
    ::testing::Values(Scenario{"OneShardIsOverwritten", false, 0, 1, Taker::kOverwrites},
                      Scenario{"TwoShardsAreOverwritten", false, 0, 2, Taker::kOverwrites},
                      Scenario{"TwoOverTwoAreOverwritten", false, 2, 2, Taker::kOverwrites},
                      Scenario{"OneOverTwoIsOverwritten", false, 2, 1, Taker::kOverwrites},
                      Scenario{"OneShardIsResumed", false, 0, 1, Taker::kResumes},
                      Scenario{"TwoShardsAreResumed", false, 0, 2, Taker::kResumes},
                      Scenario{"TwoOverTwoAreResumed", false, 2, 2, Taker::kResumes},
                      Scenario{"OneOverOneIsResumed", false, 1, 1, Taker::kResumes},
                      Scenario{"TwoOverOneAreResumedAndOverwritten", false, 1, 2,
                               Taker::kResumesAndAnotherOverwrites},
                      Scenario{"OneShardIsResumedAndOverwritten", false, 0, 1,
                               Taker::kResumesAndAnotherOverwrites},
                      Scenario{"OneShardIsBeingOverwritten", false, 0, 1, Taker::kOverwritesHalf},
                      Scenario{"TwoOverTwoAreBeingOverwritten", false, 2, 2,
                               Taker::kOverwritesHalf},
                      Scenario{"OneShardIsBeingResumed", false, 0, 1, Taker::kResumesHalf},
                      Scenario{"TwoShardsAreBeingResumed", false, 0, 2, Taker::kResumesHalf},
                      Scenario{"TwoOverTwoAreBeingResumed", false, 2, 2, Taker::kResumesHalf},
                      Scenario{"OneOverOneIsBeingResumed", false, 1, 1, Taker::kResumesHalf},
                      Scenario{"TwoOverTwoOnDiskAreOverwritten", true, 2, 2, Taker::kOverwrites}),
    [](const auto& scenario) { return std::string(scenario.param.name); });

TEST_P(StoppedProcess, ChangesNothingOfWhatItsSuccessorsMake) {
  const Scenario& scenario = GetParam();
  const bool resumes = scenario.taker == Taker::kResumes || scenario.taker == Taker::kResumesHalf;
  const bool half =
      scenario.taker == Taker::kOverwritesHalf || scenario.taker == Taker::kResumesHalf;
  int call = 0, takeovers = 0;
  // A disk is slow, and hides nothing that memory would show but files of its own.
  const int step = scenario.on_disk ? 9 : 1;
  for (; call < kManyCalls; call += step) {
    ASSERT_NO_FATAL_FAILURE(Fresh());
    taken_ = false;
    resumed_ = nullptr;
    other_ = nullptr;
    store_->StopAt(call, [this] { TakeOver(); });
    Run stopped(*this, PlanOf(scenario.shards, 'b'), kSeed, kConfig);
    absl::Status status = stopped.Begin("merge-1", scenario.old_shards > 0);
    if (status.ok()) status = stopped.End();
    const std::string at = store_->stopped();
    SCOPED_TRACE("stopped before call " + std::to_string(call) + ": " + at + "; then " +
                 std::string(status.ToString()));
    if (!taken_) {
      EXPECT_TRUE(status.ok()) << status;
      ExpectHoldsAlone(scenario.shards, 'b', kSeed, kConfig);
    } else {
      ++takeovers;
      if (half) {
        EndTaker(resumes ? *resumed_ : *other_);
      } else {
        EXPECT_EQ(Snapshot(), after_);
      }
      if (resumes) {
        ExpectHoldsAlone(scenario.shards, 'b', kSeed, kConfig);
      } else {
        ExpectHoldsAlone(2, 'c', kOtherSeed, kOtherConfig);
      }
    }
    if (at.empty() || HasFailure()) break;
  }
  EXPECT_LT(call, kManyCalls);
  EXPECT_GT(takeovers, 20 / step);
}

}  // namespace
}  // namespace merganser
