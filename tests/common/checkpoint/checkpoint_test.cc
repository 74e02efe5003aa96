#include "common/checkpoint/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "common/format/safetensors.h"
#include "tests/common/checkpoint/stage.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TinyCheckpoint Five(size_t shards) {
  TinyCheckpoint tiny;
  tiny.tensors = {{"model.embed_tokens.weight", DType::kBF16, {8, 4}},
                  {"model.layers.0.mlp.weight", DType::kF32, {4, 4}},
                  {"model.layers.0.norm.weight", DType::kF16, {4}},
                  {"empty", DType::kI64, {0}},
                  {"lm_head.weight", DType::kBF16, {8, 4}}};
  tiny.shards = shards;
  tiny.config = R"({"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]})";
  return tiny;
}

class OpenCheckpointTest : public ::testing::TestWithParam<bool> {
 protected:
  Stage stage_{GetParam()};
};

// Every tensor's bytes, read where the checkpoint says they are.
void ExpectContent(const Checkpoint& checkpoint, const TinyCheckpoint& tiny) {
  ASSERT_EQ(checkpoint.tensors.size(), tiny.tensors.size());
  for (const TinyTensor& expected : tiny.tensors) {
    const CheckpointTensor* found = checkpoint.Find(expected.name);
    ASSERT_NE(found, nullptr) << expected.name;
    EXPECT_EQ(found->dtype, expected.dtype);
    EXPECT_EQ(found->shape, expected.shape);
    std::string bytes(found->size, '\0');
    const CheckpointShard& shard = checkpoint.shards[found->shard];
    if (!bytes.empty()) {
      const absl::Status read = checkpoint.store->Read(
          shard.key, found->offset,
          std::as_writable_bytes(std::span<char>(bytes.data(), bytes.size())), shard.info.identity);
      ASSERT_TRUE(read.ok()) << read;
    }
    EXPECT_EQ(bytes, TinyBytes(expected, tiny.seed)) << expected.name;
  }
}

TEST_P(OpenCheckpointTest, SingleFile) {
  const TinyCheckpoint tiny = Five(1);
  const std::string uri = stage_.Write("m", tiny);
  const auto checkpoint = OpenCheckpoint(uri, "given");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->uri, uri);
  EXPECT_EQ(checkpoint->given, "given");
  ASSERT_EQ(checkpoint->shards.size(), 1u);
  EXPECT_EQ(checkpoint->shards[0].key, "model.safetensors");
  EXPECT_GT(checkpoint->shards[0].info.size, 0u);
  EXPECT_EQ(checkpoint->shards[0].header_digest.size(), 32u);
  EXPECT_EQ(checkpoint->config.model_type, "qwen2");
  EXPECT_EQ(checkpoint->config.text, tiny.config);
  EXPECT_EQ(checkpoint->Find("nothing"), nullptr);
  EXPECT_THAT(checkpoint->DescribeShard(0), HasSubstr("model.safetensors"));
  ExpectContent(*checkpoint, tiny);
}

TEST_P(OpenCheckpointTest, ShardsInFileOrder) {
  const TinyCheckpoint tiny = Five(3);
  const auto checkpoint = OpenCheckpoint(stage_.Write("m", tiny), "m");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  std::vector<std::string> keys, names;
  for (const auto& shard : checkpoint->shards) keys.push_back(shard.key);
  for (const auto& tensor : checkpoint->tensors) names.push_back(tensor.name);
  EXPECT_THAT(keys,
              ElementsAre("model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                          "model-00003-of-00003.safetensors"));
  EXPECT_THAT(names, ElementsAre("model.embed_tokens.weight", "model.layers.0.mlp.weight",
                                 "model.layers.0.norm.weight", "empty", "lm_head.weight"));
  EXPECT_NE(checkpoint->shards[0].header_digest, checkpoint->shards[1].header_digest);
  ExpectContent(*checkpoint, tiny);
}

TEST_P(OpenCheckpointTest, ManyShards) {
  TinyCheckpoint tiny;
  for (int i = 0; i < 40; ++i) {
    tiny.tensors.push_back({absl::StrCat("t", i), DType::kBF16, {3, 5}});
  }
  tiny.shards = 40;
  const auto checkpoint = OpenCheckpoint(stage_.Write("m", tiny), "m");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->shards.size(), 40u);
  ExpectContent(*checkpoint, tiny);
}

TEST_P(OpenCheckpointTest, HeaderLongerThanTheFirstRead) {
  TinyCheckpoint tiny;
  for (int i = 0; i < 2000; ++i) {
    tiny.tensors.push_back({absl::StrCat("model.layers.", i, ".weight"), DType::kBF16, {1, 2}});
  }
  const auto checkpoint = OpenCheckpoint(stage_.Write("m", tiny), "m");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_GT(checkpoint->tensors.front().offset, 64u * 1024);
  ExpectContent(*checkpoint, tiny);
}

TEST_P(OpenCheckpointTest, NoConfigIsAllowed) {
  TinyCheckpoint tiny = Five(1);
  tiny.config.clear();
  const auto checkpoint = OpenCheckpoint(stage_.Write("m", tiny), "m");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->config.text, "");
  EXPECT_EQ(checkpoint->config.model_type, "");
}

TEST_P(OpenCheckpointTest, DoesNotJudgeTensorData) {
  // All bits set is NaN in every float type: for the reader of the data to find.
  auto files = *TinyFiles(Five(1));
  std::string& file = files["model.safetensors"];
  for (size_t i = file.size() - 100; i < file.size(); ++i) file[i] = '\xFF';
  EXPECT_TRUE(OpenCheckpoint(stage_.Write("m", files), "m").ok());
}

INSTANTIATE_TEST_SUITE_P(Stores, OpenCheckpointTest, ::testing::Bool(),
                         [](const auto& tested) { return tested.param ? "Memory" : "File"; });

TEST(OpenCheckpoint, FollowsTheLinksOfAHuggingFaceCache) {
  namespace fs = std::filesystem;
  TempFolder folder;
  const TinyCheckpoint tiny = Five(2);
  const auto files = *TinyFiles(tiny);
  const fs::path snapshot = fs::path(folder.path()) / "snapshots" / "abc";
  fs::create_directories(snapshot);
  int blob = 0;
  for (const auto& [name, content] : files) {
    const std::string blob_name = absl::StrCat("blobs/", blob++);
    ASSERT_TRUE(WriteFiles({{blob_name, content}}, folder.path()).ok());
    fs::create_symlink(fs::path("../..") / blob_name, snapshot / name);
  }
  const auto checkpoint = OpenCheckpoint(snapshot.string(), "org/name");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  ExpectContent(*checkpoint, tiny);
}

TEST(OpenCheckpoint, FollowsALinkToTheOnlyOtherFile) {
  namespace fs = std::filesystem;
  TempFolder folder;
  const auto files = *TinyFiles(Five(1));
  ASSERT_TRUE(WriteFiles({{"blob", files.at("model.safetensors")}}, folder.path()).ok());
  fs::create_directories(fs::path(folder.path()) / "m");
  fs::create_symlink("../blob", fs::path(folder.path()) / "m" / "weights.safetensors");
  const auto checkpoint = OpenCheckpoint(folder.path() + "/m", "m");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
}

}  // namespace
}  // namespace merganser
