#include "common/engine/job_output.h"

#include <filesystem>
#include <functional>
#include <system_error>

#include "common/base/executor.h"
#include "common/engine/claim.h"
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
#include "tests/testing/temp_dir.h"
#include "tests/testing/test_traits.h"

namespace merganser {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

JobOutputOptions Options(const std::string& job, bool overwrite = false) {
  JobOutputOptions options;
  options.beat_period = kNoBeats;
  options.job_uid = job;
  options.overwrite = overwrite;
  return options;
}

// Over the memory store and the file store.
class JobOutputTest : public ::testing::TestWithParam<const char*> {
 protected:
  JobOutputTest() {
    if (OnDisk()) {
      folder_ = fs::path(scratch_.path()) / "out";
      uri_ = folder_.string();
      store_ = MakeFileStore(uri_);
    } else {
      uri_ = "memory://out";
      store_ = MakeMemoryStore("out", TestTraits());
    }
  }
  bool OnDisk() const { return std::string(GetParam()) == "file"; }

  absl::StatusOr<std::unique_ptr<JobOutput>> Begin(const Plan& plan,
                                                   const JobOutputOptions& options) {
    return JobOutput::Begin(store_, uri_, plan, options);
  }
  absl::Status Merge(const Plan& plan, const JobOutputOptions& options, uint64_t seed = 1,
                     const Checkpoint& reference = MakeReference({})) {
    auto output = Begin(plan, options);
    if (!output.ok()) return output.status();
    const auto results = WriteUnits(plan, (*output)->writes(), *store_, seed);
    if (!results.ok()) return results.status();
    return PublishModel(**output, *results, reference, BuildReport(plan, *results, SomeRun()));
  }
  // Hidden partial files count: only the file system shows them.
  void ExpectNothingLeft() {
    EXPECT_TRUE(ListAll(*store_, "").value().empty());
    if (!OnDisk() || !fs::exists(folder_)) return;
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
      // An empty folder is no object: stores may keep it.
      if (!entry.is_directory()) ADD_FAILURE() << entry.path() << " was left";
    }
  }
  void ExpectVerifies() {
    SerialExecutor executor;
    const auto result = VerifyOutput(*store_, executor);
    EXPECT_TRUE(result.ok()) << result.status();
  }

  TempDir scratch_;
  fs::path folder_;
  std::string uri_;
  std::shared_ptr<ObjectStore> store_;
};

INSTANTIATE_TEST_SUITE_P(Stores, JobOutputTest, ::testing::Values("memory", "file"),
                         [](const auto& kind) { return std::string(kind.param); });

TEST_P(JobOutputTest, PublishesOneShardWithoutAnIndex) {
  const Plan plan = OneShardPlan();
  ASSERT_TRUE(Merge(plan, Options("job-1"), 1, MakeReference({{"tokenizer.json", "{}"}})).ok());
  EXPECT_THAT(VisibleKeys(*store_),
              ElementsAre("README.md", "config.json", "merge_recipe.yaml", "merge_report.json",
                          "model.safetensors", "tokenizer.json"));
  EXPECT_EQ(ReadAll(*store_, "model.safetensors"), ShardBytes(plan, 0));
  EXPECT_EQ(ReadAll(*store_, "merge_recipe.yaml"), plan.recipe_text);
  EXPECT_EQ(ReadAll(*store_, "config.json"), "{\n  \"torch_dtype\": \"bfloat16\"\n}\n");
  EXPECT_TRUE(ListAll(*store_, kWorkPrefix).value().empty());
  ExpectVerifies();
}

TEST_P(JobOutputTest, PublishesSeveralShardsWithAnIndex) {
  const Plan plan = TwoShardPlan();
  ASSERT_TRUE(Merge(plan, Options("job-1")).ok());
  const auto index = ParseHfIndex(ReadAll(*store_, "model.safetensors.index.json"));
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ(index->total_size, 70u + 60 + 60 + 20);
  ASSERT_EQ(index->weight_map.size(), 4u);
  EXPECT_EQ(index->weight_map[0], std::pair(std::string("embed.weight"),
                                            std::string("model-00001-of-00002.safetensors")));
  EXPECT_EQ(ReadAll(*store_, "model-00002-of-00002.safetensors"), ShardBytes(plan, 1));
  ExpectVerifies();
}

TEST_P(JobOutputTest, TheRecordOfWritesIsPutTwiceHoweverManyShardsThereAre) {
  const Plan plan = MakeSmallPlan({{{"a", DType::kBF16, {4}}},
                                   {{"b", DType::kBF16, {4}}},
                                   {{"c", DType::kBF16, {4}}},
                                   {{"d", DType::kBF16, {4}}},
                                   {{"e", DType::kBF16, {4}}}});
  const auto counting = std::make_shared<FailingStore>(store_);
  store_ = counting;
  auto output = Begin(plan, Options("job-1"));
  ASSERT_TRUE(output.ok()) << output.status();
  const std::string record = ".merganser/job-1/writes/1-begun.json";
  EXPECT_EQ(counting->Calls("PutIfAbsent", record), 1);
  EXPECT_EQ(counting->Calls("PutIfAbsent", ".merganser/job-1/writes/1.json"), 1);
  EXPECT_EQ(ListAll(*store_, ".merganser/job-1/writes/").value().size(), 2u);
  EXPECT_THAT(ReadAll(*store_, record), Not(HasSubstr("\"upload\":\"\"")));
  EXPECT_TRUE((*output)->Abandon().ok());
  EXPECT_TRUE(counting->OpenWrites().empty());
  ExpectNothingLeft();
}

TEST_P(JobOutputTest, AJobKilledWhileItBeganLeavesNothingThatATakeoverMisses) {
  const Plan plan = TwoShardPlan();
  const auto failing = std::make_shared<FailingStore>(store_);
  store_ = failing;
  // From some call on nothing gets through; the walk ends where Begin succeeds.
  for (int call = 0; call < 100; ++call) {
    failing->FailAt(call, FailWhen::kBefore, true);
    const bool begun = Begin(plan, Options("job-1")).ok();
    failing->FailAt(-1, FailWhen::kBefore);
    auto taker = Begin(plan, Options("job-2", true));
    ASSERT_TRUE(taker.ok()) << taker.status();
    EXPECT_TRUE((*taker)->Abandon().ok());
    EXPECT_TRUE(failing->OpenWrites().empty()) << "call " << call;
    ExpectNothingLeft();
    if (begun) return;
  }
  ADD_FAILURE() << "Begin never succeeded";
}

// Begins every write, and of every other one the answer gets lost.
class LosesAnswers final : public ForwardingStore {
 public:
  explicit LosesAnswers(std::shared_ptr<ObjectStore> wrapped)
      : ForwardingStore(std::move(wrapped)) {}

  absl::StatusOr<PlannedWrite> BeginWrite(const WriteLayout& layout,
                                          std::string_view writer) override {
    absl::StatusOr<PlannedWrite> write = ForwardingStore::BeginWrite(layout, writer);
    if (write.ok() && begun_++ % 2 == 0) return absl::UnavailableError("lost");
    return write;
  }
  int begun() const { return begun_; }

 private:
  int begun_ = 0;
};

TEST(LostAnswerTest, AWriteThatMayHaveBeenBegunIsAbortedAndBegunOnceMore) {
  const auto tally =
      std::make_shared<WritesTally>(MakeMemoryStore("out", StoreTraits{.knows_writers = false}));
  const auto store = std::make_shared<LosesAnswers>(tally);
  const Plan plan = TwoShardPlan();
  auto output = JobOutput::Begin(store, "memory://out", plan, Options("job-1"));
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(tally->open().size(), plan.shards.size());
  const auto results = WriteUnits(plan, (*output)->writes(), *store, 1);
  ASSERT_TRUE(results.ok()) << results.status();
  const absl::Status published =
      PublishModel(**output, *results, MakeReference({}), BuildReport(plan, *results, SomeRun()));
  ASSERT_TRUE(published.ok()) << published;
  EXPECT_THAT(tally->open(), ElementsAre());
  EXPECT_GT(store->begun(), 2 * 4);
}

TEST_P(JobOutputTest, NoHiddenFileOutlivesPublication) {
  ASSERT_TRUE(Merge(TwoShardPlan(), Options("job-1")).ok());
  if (OnDisk()) {
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
      if (entry.is_directory()) continue;  // an empty folder is no object
      EXPECT_NE(entry.path().filename().string().front(), '.') << entry.path();
    }
  }
}

TEST_P(JobOutputTest, WithoutAConfigNoneIsWritten) {
  ASSERT_TRUE(Merge(OneShardPlan(), Options("job-1"), 1, MakeReference({}, "")).ok());
  EXPECT_FALSE(store_->Stat("config.json").value().has_value());
}

TEST_P(JobOutputTest, NothingIsVisibleBeforePublication) {
  const Plan plan = TwoShardPlan();
  auto output = Begin(plan, Options("job-1"));
  ASSERT_TRUE(output.ok());
  ASSERT_EQ((*output)->writes().size(), 2u);
  ASSERT_TRUE(WriteUnits(plan, (*output)->writes(), *store_).ok());
  EXPECT_TRUE(VisibleKeys(*store_).empty());
  EXPECT_TRUE((*output)->Abandon().ok());
  ExpectNothingLeft();
  EXPECT_TRUE((*output)->Abandon().ok());
}

TEST_P(JobOutputTest, RefusesAnOutputThatIsNotEmpty) {
  ASSERT_TRUE(store_->Put("b.txt", "mine").ok());
  ASSERT_TRUE(store_->Put("a/notes.txt", "mine").ok());
  const auto output = Begin(OneShardPlan(), Options("job-1"));
  ASSERT_TRUE(absl::IsFailedPrecondition(output.status())) << output.status();
  EXPECT_THAT(std::string(output.status().message()),
              AllOf(HasSubstr("b.txt"), HasSubstr("--overwrite")));
  EXPECT_THAT(VisibleKeys(*store_), ElementsAre("a/notes.txt", "b.txt"));
  EXPECT_TRUE(ListAll(*store_, kWorkPrefix).value().empty());
}

TEST_P(JobOutputTest, TwoJobsNeverWriteOneOutput) {
  const Plan plan = OneShardPlan();
  auto first = Begin(plan, Options("job-1"));
  ASSERT_TRUE(first.ok());
  const auto second = Begin(plan, Options("job-2"));
  ASSERT_TRUE(absl::IsFailedPrecondition(second.status()));
  EXPECT_THAT(
      std::string(second.status().message()),
      AllOf(HasSubstr("job-1"),
            HasSubstr(
                "if none runs, --overwrite begins again, merge or merganser-mpi with --resume")));
  const auto results = WriteUnits(plan, (*first)->writes(), *store_);
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_TRUE(
      PublishModel(**first, *results, MakeReference({}), BuildReport(plan, *results, SomeRun()))
          .ok());
}

TEST_P(JobOutputTest, ATakeoverClearsWhatTheOldJobLeftAndLocksItOut) {
  const Plan plan = TwoShardPlan();
  auto old = Begin(plan, Options("job-old"));
  ASSERT_TRUE(old.ok());
  const auto old_results = WriteUnits(plan, (*old)->writes(), *store_, 7);
  ASSERT_TRUE(old_results.ok());
  ASSERT_TRUE(store_->Put(".merganser/job-old/keepsakes/0", "k").ok());

  auto taker = Begin(plan, Options("job-new", true));
  ASSERT_TRUE(taker.ok()) << taker.status();
  EXPECT_TRUE(ListAll(*store_, ".merganser/job-old/").value().empty());
  EXPECT_TRUE(absl::IsNotFound(WriteUnits(plan, (*old)->writes(), *store_, 7).status()));

  const absl::Status late = PublishModel(**old, *old_results, MakeReference({}),
                                         BuildReport(plan, *old_results, SomeRun()));
  EXPECT_TRUE(absl::IsFailedPrecondition(late)) << late;
  EXPECT_THAT(std::string(late.message()), HasSubstr("job-new"));
  EXPECT_TRUE((*old)->Abandon().ok());

  const auto results = WriteUnits(plan, (*taker)->writes(), *store_);
  ASSERT_TRUE(results.ok()) << results.status();
  ASSERT_TRUE(
      PublishModel(**taker, *results, MakeReference({}), BuildReport(plan, *results, SomeRun()))
          .ok());
  EXPECT_EQ(ReadAll(*store_, plan.shards[0].key), ShardBytes(plan, 0));
  ExpectVerifies();
}

TEST_P(JobOutputTest, AnAbandonedTakeoverLeavesTheOldModelAsItWas) {
  const Plan plan = OneShardPlan();
  ASSERT_TRUE(Merge(plan, Options("job-1"), 7).ok());
  auto output = Begin(plan, Options("job-2", true));
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_TRUE(LooksLikeModel(*store_));
  EXPECT_TRUE((*output)->Abandon().ok());
  EXPECT_EQ(ReadAll(*store_, "model.safetensors"), ShardBytes(plan, 0, 7));
  ExpectVerifies();
}

TEST_P(JobOutputTest, OverwritingASingleFileByShardsLeavesNoOldFile) {
  ASSERT_TRUE(Merge(OneShardPlan(), Options("job-1"), 1,
                    MakeReference({{"tokenizer.model", "old"}, {"user.py", "code"}}))
                  .ok());
  ASSERT_TRUE(store_->Put("notes.txt", "mine").ok());
  ASSERT_TRUE(
      Merge(TwoShardPlan(), Options("job-2", true), 2, MakeReference({{"tokenizer.json", "new"}}))
          .ok());
  EXPECT_THAT(
      VisibleKeys(*store_),
      ElementsAre("README.md", "config.json", "merge_recipe.yaml", "merge_report.json",
                  "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                  "model.safetensors.index.json", "notes.txt", "tokenizer.json", "user.py"));
  ExpectVerifies();
}

TEST_P(JobOutputTest, OverwritingShardsByASingleFileLeavesNoIndex) {
  ASSERT_TRUE(Merge(TwoShardPlan(), Options("job-1")).ok());
  ASSERT_TRUE(Merge(OneShardPlan(), Options("job-2", true), 2).ok());
  EXPECT_THAT(VisibleKeys(*store_), ElementsAre("README.md", "config.json", "merge_recipe.yaml",
                                                "merge_report.json", "model.safetensors"));
  ExpectVerifies();
}

TEST_P(JobOutputTest, OverwritingAForeignFolderRemovesWeightsOnly) {
  for (const char* key : {"model.safetensors", "notes.txt", "tokenizer.model", "sub/x.safetensors",
                          "adapter.safetensors"}) {
    ASSERT_TRUE(store_->Put(key, "foreign").ok());
  }
  ASSERT_TRUE(Merge(OneShardPlan(), Options("job-1", true)).ok());
  EXPECT_THAT(
      VisibleKeys(*store_),
      ElementsAre("README.md", "config.json", "merge_recipe.yaml", "merge_report.json",
                  "model.safetensors", "notes.txt", "sub/x.safetensors", "tokenizer.model"));
}

TEST_P(JobOutputTest, RefusesAnOutputThatIsAnInputEvenToOverwrite) {
  Plan plan = OneShardPlan();
  plan.models[2].uri = uri_ + "/inner";
  const auto output = Begin(plan, Options("job-1", true));
  EXPECT_TRUE(absl::IsFailedPrecondition(output.status())) << output.status();
  ExpectNothingLeft();
}

TEST_P(JobOutputTest, RefusesAnUnsafeUid) {
  EXPECT_TRUE(absl::IsInvalidArgument(Begin(OneShardPlan(), Options("../x")).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Begin(OneShardPlan(), Options("")).status()));
  ExpectNothingLeft();
}

TEST_P(JobOutputTest, ResultsThatDoNotFitAreInternalErrorsAndTouchNothing) {
  const Plan plan = OneShardPlan();
  auto output = Begin(plan, Options("job-1"));
  ASSERT_TRUE(output.ok());
  const std::vector<UnitResult> good = WriteUnits(plan, (*output)->writes(), *store_).value();
  std::vector<std::vector<UnitResult>> bad = {{}, {good[0]}, {good[1], good[0]}, good};
  bad[3][0].segment_digests.pop_back();
  for (const auto& results : bad) {
    EXPECT_TRUE(absl::IsInternal(PublishModel(**output, results, MakeReference({}), "{}")));
    EXPECT_TRUE(VisibleKeys(*store_).empty());
  }
  EXPECT_TRUE((*output)->Abandon().ok());
  EXPECT_TRUE(absl::IsInternal(PublishModel(**output, good, MakeReference({}), "{}")));
  ExpectNothingLeft();
}

TEST_P(JobOutputTest, AHoleInTheReceiptsIsDataLossAndNoModel) {
  for (const Plan& plan : {OneShardPlan(), TwoShardPlan()}) {
    auto output = Begin(plan, Options("job-1"));
    ASSERT_TRUE(output.ok());
    std::vector<UnitResult> results = WriteUnits(plan, (*output)->writes(), *store_).value();
    results.back().receipts.clear();
    EXPECT_TRUE(absl::IsDataLoss(PublishModel(**output, results, MakeReference({}), "{}")));
    EXPECT_FALSE(LooksLikeModel(*store_));
    EXPECT_TRUE((*output)->Abandon().ok());
    ExpectNothingLeft();
  }
}

TEST_P(JobOutputTest, AConfigThatIsNoJsonFailsBeforeTheOldModelIsTouched) {
  const Plan plan = OneShardPlan();
  ASSERT_TRUE(Merge(plan, Options("job-1"), 7).ok());
  EXPECT_FALSE(Merge(plan, Options("job-2", true), 8, MakeReference({}, "{")).ok());
  EXPECT_EQ(ReadAll(*store_, "model.safetensors"), ShardBytes(plan, 0, 7));
  ExpectVerifies();
}

}  // namespace
}  // namespace merganser
