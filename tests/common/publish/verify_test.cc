#include <filesystem>
#include <span>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/engine/job_output.h"
#include "common/format/hf_index.h"
#include "common/publish/publish_merge.h"
#include "common/publish/report.h"
#include "common/storage/file/file_store.h"
#include "common/storage/memory/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/engine/small_plan.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/test_traits.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* kIndex = kHfIndexFile;

class Verify : public ::testing::Test {
 protected:
  void Publish(const Plan& plan) {
    JobOutputOptions options;
    options.job_uid = "job-1";
    auto output = JobOutput::Begin(store_, "memory://verified", plan, options);
    ASSERT_TRUE(output.ok()) << output.status();
    const auto results = WriteUnits(plan, (*output)->writes(), *store_);
    ASSERT_TRUE(results.ok()) << results.status();
    const absl::Status status =
        PublishModel(**output, *results, MakeReference({}), BuildReport(plan, *results, SomeRun()));
    ASSERT_TRUE(status.ok()) << status;
  }
  absl::Status Run() {
    const auto result = VerifyOutput(*store_, executor_);
    return result.status();
  }
  void ExpectDataLoss(const std::vector<std::string>& words) {
    const absl::Status status = Run();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    for (const std::string& word : words) {
      EXPECT_THAT(std::string(status.message()), HasSubstr(word));
    }
  }
  void Flip(const std::string& key, size_t at) {
    std::string bytes = ReadAll(*store_, key);
    bytes.at(at) = static_cast<char>(bytes[at] ^ 1);
    ASSERT_TRUE(store_->Put(key, bytes).ok());
  }

  std::shared_ptr<ObjectStore> store_ = MakeMemoryStore("verified", TestTraits());
  ThreadPool executor_{3};
};

TEST_F(Verify, AcceptsWhatWasPublished) {
  const Plan plan = TwoShardPlan();
  Publish(plan);
  const auto result = VerifyOutput(*store_, executor_);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->shards, 2u);
  EXPECT_EQ(result->segments, 6u);
  EXPECT_EQ(result->bytes, plan.shards[0].size + plan.shards[1].size);
}

TEST_F(Verify, SegmentsLargerThanABlockAreReadWhole) {
  const Plan plan = MakeSmallPlan({{{"a", DType::kU8, {9 << 20}}}});
  Publish(plan);
  EXPECT_TRUE(Run().ok()) << Run();
  Flip("model.safetensors", plan.shards[0].size - 1);
  ExpectDataLoss({"tensor 'a'"});
}

TEST_F(Verify, WithoutAReportIsNotFound) {
  Publish(OneShardPlan());
  ASSERT_TRUE(store_->Delete(kReportKey).ok());
  const absl::Status status = Run();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("merge_report.json"));
}

TEST_F(Verify, EveryFlippedByteIsFound) {
  const Plan plan = OneShardPlan();
  Publish(plan);
  for (size_t at = 0; at < plan.shards[0].size; ++at) {
    Flip("model.safetensors", at);
    EXPECT_TRUE(absl::IsDataLoss(Run())) << at;
    Flip("model.safetensors", at);
  }
  EXPECT_TRUE(Run().ok());
}

TEST_F(Verify, NamesFileRangeAndTensorOfADamage) {
  const Plan plan = TwoShardPlan();
  Publish(plan);
  const uint64_t at = plan.tensors[2].offset;
  Flip("model-00002-of-00002.safetensors", at + 3);
  ExpectDataLoss({"model-00002-of-00002.safetensors", absl::StrCat("bytes ", at, " to ", at + 60),
                  "tensor 'layers.1.mlp.weight'", "checksum"});
}

TEST_F(Verify, NamesTheFirstDamageWhateverTheThreadsDo) {
  const Plan plan = TwoShardPlan();
  Publish(plan);
  Flip("model-00002-of-00002.safetensors", plan.tensors[3].offset);
  Flip("model-00001-of-00002.safetensors", plan.tensors[1].offset);
  for (int i = 0; i < 20; ++i) {
    ExpectDataLoss({"model-00001-of-00002.safetensors", "layers.0.mlp.weight"});
  }
}

TEST_F(Verify, ADamagedHeaderIsNamedAsSuch) {
  Publish(OneShardPlan());
  Flip("model.safetensors", 0);
  ExpectDataLoss({"model.safetensors", "bytes 0 to", "the header"});
}

TEST_F(Verify, ATruncatedOrGrownShardIsFound) {
  const Plan plan = OneShardPlan();
  Publish(plan);
  const std::string bytes = ReadAll(*store_, "model.safetensors");
  ASSERT_TRUE(store_->Put("model.safetensors", bytes.substr(0, bytes.size() - 1)).ok());
  ExpectDataLoss({"model.safetensors", absl::StrCat("found ", bytes.size() - 1, " bytes"),
                  absl::StrCat("expected ", bytes.size())});
  ASSERT_TRUE(store_->Put("model.safetensors", bytes + "x").ok());
  ExpectDataLoss({"model.safetensors", absl::StrCat("found ", bytes.size() + 1, " bytes")});
}

TEST_F(Verify, AMissingOrExtraShardIsFound) {
  Publish(TwoShardPlan());
  ASSERT_TRUE(store_->Put("model.safetensors", "x").ok());
  ExpectDataLoss({"model.safetensors", "does not know"});
  ASSERT_TRUE(store_->Delete("model.safetensors").ok());
  EXPECT_TRUE(Run().ok());
  ASSERT_TRUE(store_->Delete("model-00002-of-00002.safetensors").ok());
  ExpectDataLoss({"model-00002-of-00002.safetensors", "missing"});
}

TEST_F(Verify, AnIndexThatDoesNotFitIsFound) {
  Publish(TwoShardPlan());
  const std::string good = ReadAll(*store_, kIndex);
  const HfIndex index = ParseHfIndex(good).value();

  ASSERT_TRUE(store_->Delete(kIndex).ok());
  ExpectDataLoss({kIndex, "missing"});
  ASSERT_TRUE(store_->Put(kIndex, "{").ok());
  ExpectDataLoss({kIndex});

  HfIndex other = index;
  other.weight_map[0].second = "model-00002-of-00002.safetensors";
  ASSERT_TRUE(store_->Put(kIndex, WriteHfIndex(other)).ok());
  ExpectDataLoss({kIndex, other.weight_map[0].first, "model-00001-of-00002.safetensors"});
  other = index;
  const std::string dropped = other.weight_map.back().first;
  other.weight_map.pop_back();
  ASSERT_TRUE(store_->Put(kIndex, WriteHfIndex(other)).ok());
  ExpectDataLoss({kIndex, dropped, "no entry"});
  other = index;
  other.weight_map.emplace_back("zzz", "model-00001-of-00002.safetensors");
  ASSERT_TRUE(store_->Put(kIndex, WriteHfIndex(other)).ok());
  ExpectDataLoss({kIndex, "zzz", "in no shard"});
  other = index;
  other.total_size += 1;
  ASSERT_TRUE(store_->Put(kIndex, WriteHfIndex(other)).ok());
  ExpectDataLoss({kIndex, "total_size"});
  ASSERT_TRUE(store_->Put(kIndex, good).ok());
  EXPECT_TRUE(Run().ok());
}

TEST_F(Verify, ASingleShardWithAForeignIndexIsFound) {
  Publish(OneShardPlan());
  HfIndex index;
  index.weight_map = {{"norm.weight", "other.safetensors"}};
  ASSERT_TRUE(store_->Put(kIndex, WriteHfIndex(index)).ok());
  ExpectDataLoss({kIndex});
}

TEST_F(Verify, AReportOrIndexTooLargeToReadWholeIsRefusedUnread) {
  namespace fs = std::filesystem;
  const TempDir scratch;
  const fs::path folder = fs::path(scratch.path()) / "out";
  store_ = MakeFileStore(folder.string());
  Publish(TwoShardPlan());
  ASSERT_TRUE(Run().ok());
  for (const std::string& key : {std::string(kIndex), std::string(kReportKey)}) {
    fs::resize_file(folder / key, (uint64_t{256} << 20) + 1);  // sparse
    ExpectDataLoss({key, "found 268435457 bytes", "at most 268435456", "256 MiB"});
  }
}

TEST_F(Verify, AReportThatIsNestedDeeplyIsDataLoss) {
  constexpr size_t kDepth = 1'000'000;
  Publish(OneShardPlan());
  ASSERT_TRUE(store_
                  ->Put(kReportKey, absl::StrCat("{\"format\": 1, \"a\": ",
                                                 std::string(kDepth, '['), std::string(kDepth, ']'),
                                                 ", \"b\": 1, \"c\": 2, \"d\": 3, \"e\": 4}"))
                  .ok());
  EXPECT_TRUE(absl::IsDataLoss(Run())) << Run();
}

TEST_F(Verify, ABrokenReportIsDataLoss) {
  const Plan plan = OneShardPlan();
  Publish(plan);
  const std::string good = ReadAll(*store_, std::string(kReportKey));
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  for (const std::string& text :
       {std::string(), std::string("[]"), good.substr(0, good.size() / 2),
        replaced("\"begin\":0", "\"begin\":1"), replaced("\"begin\":0", "\"begin\":-1"),
        replaced("\"shard\":0,\"begin\"", "\"shard\":9,\"begin\""),
        replaced("[60,", "[18446744073709551615,"),
        replaced("\"segments\":[[", "\"segments\":[[0,\"x\"],["),
        replaced("\"file\":\"model.safetensors\",\"size\":" + std::to_string(plan.shards[0].size),
                 "\"file\":\"model.safetensors\",\"size\":7")}) {
    ASSERT_TRUE(store_->Put(kReportKey, text).ok());
    EXPECT_TRUE(absl::IsDataLoss(Run())) << Run() << "\n" << text;
  }
  ASSERT_TRUE(store_
                  ->Put(kReportKey, replaced("\"file\":\"model.safetensors\",\"size\":" +
                                                 std::to_string(plan.shards[0].size),
                                             "\"file\":\"../x\",\"size\":" +
                                                 std::to_string(plan.shards[0].size)))
                  .ok());
  EXPECT_FALSE(Run().ok());
}

}  // namespace
}  // namespace merganser
