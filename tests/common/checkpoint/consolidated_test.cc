// Mistral's own layout: consolidated.safetensors, whole or in shards with an index.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/checkpoint/checkpoint.h"
#include "tests/common/checkpoint/stage.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Files = std::map<std::string, std::string>;

Files Consolidated(size_t shards) {
  TinyCheckpoint tiny;
  tiny.tensors = {{"layers.0.attention.wq.weight", DType::kBF16, {2, 2}},
                  {"norm.weight", DType::kBF16, {2}}};
  tiny.shards = shards;
  tiny.config = "";
  Files out;
  const Files made = *TinyFiles(tiny);
  for (const auto& [name, content] : made) {
    const bool index = name.ends_with(".json");
    out[absl::StrReplaceAll(name, {{"model", "consolidated"}})] =
        index ? absl::StrReplaceAll(content, {{"model-", "consolidated-"}}) : content;
  }
  return out;
}

class ConsolidatedTest : public ::testing::TestWithParam<bool> {
 protected:
  absl::StatusOr<Checkpoint> Open(const Files& files) {
    return OpenCheckpoint(stage_.Write(absl::StrCat("m", ++count_), files), "given");
  }
  Stage stage_{GetParam()};
  int count_ = 0;
};

TEST_P(ConsolidatedTest, OneFileAndShardsAreRead) {
  for (const size_t shards : {1u, 2u}) {
    const auto opened = Open(Consolidated(shards));
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(opened->shards.size(), shards);
    EXPECT_TRUE(IsConsolidated(*opened));
    EXPECT_TRUE(opened->warnings.empty());
  }
}

TEST_P(ConsolidatedTest, TransformersFilesBesideItComeFirst) {
  Files files = Consolidated(1);
  TinyCheckpoint tiny;
  tiny.tensors = {{"model.norm.weight", DType::kBF16, {2}}};
  const Files made = *TinyFiles(tiny);
  for (const auto& [name, content] : made) files[name] = content;
  const auto opened = Open(files);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_FALSE(IsConsolidated(*opened));
}

TEST_P(ConsolidatedTest, ShardsWithoutTheirIndexAreNamed) {
  Files files = Consolidated(2);
  files.erase("consolidated.safetensors.index.json");
  const auto opened = Open(files);
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(opened.status().message()),
              AllOf(HasSubstr("2 files of weights in Mistral's layout"),
                    HasSubstr("consolidated.safetensors.index.json")));
}

INSTANTIATE_TEST_SUITE_P(MemoryAndDisk, ConsolidatedTest, ::testing::Bool());

}  // namespace
}  // namespace merganser
