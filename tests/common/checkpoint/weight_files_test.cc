// Which files of a folder are the model: what transformers would load.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/weight_files.h"
#include "common/storage/memory/memory_store.h"
#include "tests/common/checkpoint/stage.h"
#include "tests/testing/recording_store.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Files = std::map<std::string, std::string>;

constexpr char kSingle[] = "model.safetensors";
constexpr char kIndex[] = "model.safetensors.index.json";

Files Two(size_t shards, uint64_t seed = 1) {
  TinyCheckpoint tiny;
  tiny.tensors = {{"a", DType::kBF16, {2, 2}}, {"b", DType::kBF16, {2}}};
  tiny.shards = shards;
  tiny.seed = seed;
  return *TinyFiles(tiny);
}

class ModelFiles : public ::testing::TestWithParam<bool> {
 protected:
  absl::StatusOr<Checkpoint> Open(const Files& files) {
    return OpenCheckpoint(stage_.Write(absl::StrCat("m", ++count_), files), "given");
  }
  std::string Taken(const Files& files) {
    const auto checkpoint = Open(files);
    if (!checkpoint.ok()) return std::string(checkpoint.status().message());
    warnings_ = checkpoint->warnings;
    std::string taken;
    for (const CheckpointShard& shard : checkpoint->shards) absl::StrAppend(&taken, shard.key, ";");
    return taken;
  }

  Stage stage_{GetParam()};
  int count_ = 0;
  std::vector<std::string> warnings_;
};

TEST_P(ModelFiles, ASingleFileWinsOverAnIndexBesideIt) {
  Files files = Two(2);
  files[kSingle] = Two(1, 9).at(kSingle);
  EXPECT_EQ(Taken(files), "model.safetensors;");
  EXPECT_THAT(warnings_, ElementsAre(AllOf(HasSubstr("transformers takes 'model.safetensors'"),
                                           HasSubstr("'model-00001-of-00002.safetensors'"))));
  // The shards are gone: what saving into the folder of an older, sharded model leaves.
  files.erase("model-00001-of-00002.safetensors");
  files.erase("model-00002-of-00002.safetensors");
  EXPECT_EQ(Taken(files), "model.safetensors;");
  EXPECT_EQ(warnings_.size(), 1u);
  files[kIndex] = "{";
  EXPECT_EQ(Taken(files), "model.safetensors;");
  EXPECT_THAT(warnings_, ElementsAre(AllOf(HasSubstr(kIndex), HasSubstr("is taken"))));
}

TEST_P(ModelFiles, ADamagedSingleFileIsNotPassedOver) {
  Files files = Two(2);
  files[kSingle] = "not even a header";
  EXPECT_THAT(Taken(files), HasSubstr("model.safetensors:"));
}

TEST_P(ModelFiles, AnIndexOfTheSingleFileItself) {
  Files files = Two(1);
  files[kIndex] = R"({"weight_map": {"a": "model.safetensors", "b": "model.safetensors"}})";
  EXPECT_EQ(Taken(files), "model.safetensors;");
  EXPECT_THAT(warnings_, IsEmpty());
  files[kIndex] = R"({"weight_map": {"a": "model.safetensors", "c": "model.safetensors"}})";
  EXPECT_EQ(Taken(files), "model.safetensors;");
  EXPECT_THAT(warnings_, ElementsAre(AllOf(HasSubstr("tensor 'c'"), HasSubstr("taken as it is"))));
}

TEST_P(ModelFiles, WhatConfigJsonNames) {
  Files files = Two(1);
  files["other.safetensors"] = files.at(kSingle);
  files["config.json"] = R"({"transformers_weights": "other.safetensors"})";
  EXPECT_EQ(Taken(files), "other.safetensors;");
  EXPECT_THAT(warnings_, ElementsAre(AllOf(HasSubstr("key 'transformers_weights'"),
                                           HasSubstr("'other.safetensors', which is taken"))));
  files.erase(kSingle);
  EXPECT_EQ(Taken(files), "other.safetensors;");
  EXPECT_THAT(warnings_, IsEmpty());

  Files sharded = Two(2);
  sharded["x.safetensors.index.json"] = sharded.at(kIndex);
  sharded.erase(kIndex);
  sharded["config.json"] = R"({"transformers_weights": "x.safetensors.index.json"})";
  EXPECT_EQ(Taken(sharded), "model-00001-of-00002.safetensors;model-00002-of-00002.safetensors;");
}

TEST_P(ModelFiles, ConfigJsonThatNamesNoUsableFile) {
  Files files = Two(1);
  for (const char* named :
       {"../m/model.safetensors", "/etc/x.safetensors", "a/b.safetensors", "pytorch_model.bin",
        ".safetensors", "gone.safetensors", "gone.safetensors.index.json"}) {
    files["config.json"] = absl::StrCat(R"({"transformers_weights": ")", named, R"("})");
    const auto checkpoint = Open(files);
    EXPECT_FALSE(checkpoint.ok()) << named;
    EXPECT_THAT(
        std::string(checkpoint.status().message()),
        AllOf(HasSubstr("config.json"), HasSubstr("transformers_weights"), HasSubstr(named)));
  }
  files["config.json"] = R"({"transformers_weights": null})";
  EXPECT_EQ(Taken(files), "model.safetensors;");
}

TEST_P(ModelFiles, TheOnlyOtherSafetensorsFile) {
  Files files = Two(1);
  files["weights.safetensors"] = files.at(kSingle);
  files.erase(kSingle);
  files["sub/other.safetensors"] = "ignored";
  EXPECT_EQ(Taken(files), "weights.safetensors;");
  EXPECT_THAT(warnings_, IsEmpty());
  files["pytorch_model.bin"] = "pickled";
  EXPECT_EQ(Taken(files), "weights.safetensors;");
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("transformers would load 'pytorch_model.bin'")));
  // Where the usual file is there, it is what both take.
  files = Two(1);
  files["pytorch_model.bin"] = "pickled";
  files["consolidated.safetensors"] = "another layout";
  files["model.fp16.safetensors"] = "a variant";
  EXPECT_EQ(Taken(files), "model.safetensors;");
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_P(ModelFiles, AVariantIsTakenWhereNothingElseIsThere) {
  Files files = Two(1);
  files["model.fp16.safetensors"] = files.at(kSingle);
  files.erase(kSingle);
  EXPECT_EQ(Taken(files), "model.fp16.safetensors;");
  Files sharded = Two(2);
  sharded["model.safetensors.index.fp16.json"] = sharded.at(kIndex);
  sharded.erase(kIndex);
  EXPECT_THAT(Taken(sharded),
              AllOf(HasSubstr("model.safetensors.index.fp16.json: is the index of a variant"),
                    HasSubstr("copy it to model.safetensors.index.json")));
}

INSTANTIATE_TEST_SUITE_P(Stores, ModelFiles, ::testing::Bool(),
                         [](const auto& tested) { return tested.param ? "Memory" : "File"; });

TEST(FindWeightFiles, AFolderIsNeverWalked) {
  const auto memory = std::shared_ptr<ObjectStore>(MakeMemoryStore("walked"));
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(memory->Put(absl::StrCat("sub", i % 7, "/deep/", i), "").ok());
  }
  RecordingStore store(memory);
  const auto none = FindWeightFiles(store, {});
  EXPECT_EQ(none.status().code(), absl::StatusCode::kNotFound) << none.status();
  EXPECT_THAT(store.Calls(StoreOp::kList), ElementsAre(Field(&StoreCall::flat, true)));
  // And a few names that tell of folders of trainers.
  EXPECT_LE(store.Calls().size(), 20u);

  ASSERT_TRUE(memory->Put(kSingle, "x").ok());
  store.Clear();
  EXPECT_TRUE(FindWeightFiles(store, {}).ok());
  EXPECT_THAT(store.Calls(StoreOp::kList), IsEmpty());
}

TEST(FindWeightFiles, AFolderOfVeryManyFilesIsRefused) {
  const auto memory = std::shared_ptr<ObjectStore>(MakeMemoryStore("many"));
  for (int i = 0; i <= 10'000; ++i) ASSERT_TRUE(memory->Put(absl::StrCat("f", i), "").ok());
  const auto many = FindWeightFiles(*memory, {});
  EXPECT_EQ(many.status().code(), absl::StatusCode::kInvalidArgument) << many.status();
  EXPECT_THAT(std::string(many.status().message()),
              AllOf(HasSubstr("no model.safetensors"), HasSubstr("more than 10000 entries")));
}

}  // namespace
}  // namespace merganser
