#include "common/engine/auxiliary_files.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/engine/small_plan.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

TEST(AuxiliaryFiles, WhatAModelNeedsBesideItsWeightsIsCopied) {
  for (std::string_view key : {"tokenizer.json",
                               "tokenizer.model",
                               "tokenizer_config.json",
                               "special_tokens_map.json",
                               "added_tokens.json",
                               "vocab.json",
                               "vocab.txt",
                               "merges.txt",
                               "spiece.model",
                               "sentencepiece.bpe.model",
                               "generation_config.json",
                               "chat_template.jinja",
                               "chat_template.json",
                               "additional_chat_templates/tool.jinja",
                               "preprocessor_config.json",
                               "processor_config.json",
                               "video_preprocessor_config.json",
                               "configuration_x.py",
                               "modeling_x.py",
                               "tokenization_x.py",
                               "processing_x.py",
                               "image_processing_x.py",
                               "helper.py",
                               "LICENSE",
                               "LICENSE.txt",
                               "NOTICE",
                               "USE_POLICY.md",
                               "qwen.tiktoken"}) {
    EXPECT_TRUE(IsAuxiliaryFile(key)) << key;
  }
}

TEST(AuxiliaryFiles, AllElseIsNot) {
  for (std::string_view key : {"",
                               "README.md",
                               "config.json",
                               "model.safetensors",
                               "model.safetensors.index.json",
                               "LICENSE.safetensors",
                               "pytorch_model.bin",
                               "NOTICE.pt",
                               ".hidden.py",
                               ".gitattributes",
                               "sub/modeling_x.py",
                               "sub/tokenizer.json",
                               ".cache/tokenizer.json",
                               "additional_chat_templates/",
                               "additional_chat_templates/.x.jinja",
                               "additional_chat_templates/a/b.jinja",
                               "additional_chat_templates/w.safetensors",
                               "merge_report.json",
                               "merge_recipe.yaml",
                               "trainer_state.json",
                               "optimizer.pt",
                               ".merganser/claim",
                               "Tokenizer.json"}) {
    EXPECT_FALSE(IsAuxiliaryFile(key)) << key;
  }
}

TEST(AuxiliaryFiles, CodeAndLicencesAreNotRemovedOnOverwrite) {
  EXPECT_TRUE(IsReplaceableAuxiliaryFile("tokenizer.json"));
  EXPECT_TRUE(IsReplaceableAuxiliaryFile("additional_chat_templates/a.jinja"));
  EXPECT_FALSE(IsReplaceableAuxiliaryFile("train.py"));
  EXPECT_FALSE(IsReplaceableAuxiliaryFile("LICENSE"));
}

TEST(AuxiliaryFiles, AreListedInOrderAndReadByteForByte) {
  const std::string binary("\x00\xFF\n\r", 4);
  const Checkpoint reference = MakeReference({{"tokenizer.json", binary},
                                              {"model.safetensors", "w"},
                                              {"README.md", "r"},
                                              {"added_tokens.json", ""},
                                              {"sub/x.py", "p"}});
  const auto files = ListAuxiliaryFiles(reference);
  ASSERT_TRUE(files.ok()) << files.status();
  std::vector<std::pair<std::string, std::string>> read;
  for (const ListedObject& file : *files) {
    const auto bytes = ReadAuxiliaryFile({&reference, file});
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    read.emplace_back(file.key, *bytes);
  }
  EXPECT_THAT(read, ElementsAre(Pair("added_tokens.json", ""), Pair("tokenizer.json", binary)));
}

TEST(AuxiliaryFiles, AnotherModelMayGiveTheTokenizer) {
  const Checkpoint reference = MakeReference({{"LICENSE", "r"},
                                              {"generation_config.json", "r"},
                                              {"merges.txt", "r"},
                                              {"modeling_x.py", "r"},
                                              {"tokenizer.json", "r"}});
  const Checkpoint tokenizer = MakeReference({{"LICENSE", "t"},
                                              {"chat_template.jinja", "t"},
                                              {"x.tiktoken", "t"},
                                              {"generation_config.json", "t"},
                                              {"tokenizer.json", "t"}});
  const auto from = [&](const Checkpoint& donor) {
    const auto files = ListAuxiliaryFiles(reference, donor);
    EXPECT_TRUE(files.ok()) << files.status();
    std::vector<std::string> found;
    for (const AuxiliaryFile& file : *files) {
      found.push_back((file.checkpoint == &reference ? "r " : "t ") + file.file.key);
    }
    return found;
  };
  EXPECT_THAT(from(tokenizer),
              ElementsAre("r LICENSE", "r generation_config.json", "r modeling_x.py",
                          "t chat_template.jinja", "t tokenizer.json", "t x.tiktoken"));
  EXPECT_THAT(from(reference), ElementsAre("r LICENSE", "r generation_config.json", "r merges.txt",
                                           "r modeling_x.py", "r tokenizer.json"));
}

TEST(AuxiliaryFiles, AFileThatChangesWhileItIsCopiedIsDataLoss) {
  const Checkpoint reference = MakeReference({{"tokenizer.json", "old"}});
  const auto files = ListAuxiliaryFiles(reference);
  ASSERT_TRUE(files.ok());
  ASSERT_TRUE(reference.store->Put("tokenizer.json", "newer").ok());
  EXPECT_TRUE(absl::IsDataLoss(ReadAuxiliaryFile({&reference, files->at(0)}).status()));
}

}  // namespace
}  // namespace merganser
