#include "common/auxiliary/auxiliary_files.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/engine/small_plan.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
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
                               "tiktoken.model",
                               "tokenizer.model.v7",
                               "spm.model",
                               "source.spm",
                               "vocab.bpe",
                               "encoder.json",
                               "entity_vocab.json",
                               "sentence_bert_config.json",
                               "modules.json",
                               "params.json",
                               "SYSTEM_PROMPT.txt",
                               "dict.txt",
                               "labels.csv",
                               "speaker.npy",
                               "my_vocabulary",
                               "settings.of_ours",
                               "requirements.txt",
                               "custom_generate/generate.py",
                               "Tokenizer.json",
                               "LICENSE",
                               "LICENSE.md",
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
                               "training_args.bin",
                               "zero_to_fp32.py",
                               "all_results.json",
                               "mergekit_config.yml",
                               "quantize_config.json",
                               "README_zh.md",
                               "logo.PNG",
                               "paper.pdf",
                               "train.jsonl",
                               "state.pkl",
                               "code.zip",
                               "run.sh",
                               "events.out.tfevents.1.host",
                               "pytorch_model.bin.index.json",
                               "consolidated.safetensors.index.json",
                               "consolidated.00.pth",
                               "model-q4.gguf",
                               "tf_model.h5",
                               "optimizer.pt",
                               "1_Pooling/config.json",
                               "checkpoint-10/tokenizer.json",
                               "custom_generate/a/b.py",
                               ".merganser/claim"}) {
    EXPECT_FALSE(IsAuxiliaryFile(key)) << key;
  }
}

TEST(AuxiliaryFiles, CodeAndLicencesAreNotRemovedOnOverwrite) {
  EXPECT_TRUE(IsReplaceableAuxiliaryFile("tokenizer.json"));
  EXPECT_TRUE(IsReplaceableAuxiliaryFile("additional_chat_templates/a.jinja"));
  EXPECT_TRUE(IsReplaceableAuxiliaryFile("modules.json"));
  EXPECT_TRUE(IsReplaceableAuxiliaryFile("params.json"));
  EXPECT_FALSE(IsReplaceableAuxiliaryFile("train.py"));
  EXPECT_FALSE(IsReplaceableAuxiliaryFile("labels.csv"));
  EXPECT_FALSE(IsReplaceableAuxiliaryFile("LICENSE"));
}

TEST(AuxiliaryFiles, ATokenizerIsKnownByItsKind) {
  for (std::string_view key :
       {"tokenizer.json", "tiktoken.model", "spm.model", "x.spm", "vocab.bpe", "encoder.json",
        "vocab-src.json", "tokenization_x.py", "my.vocab", "tokenizer.model.v3",
        "chat_template.jinja", "additional_chat_templates/tool.jinja", "special_tokens_map.json",
        "tekken.json"}) {
    EXPECT_TRUE(IsTokenizerFile(key)) << key;
  }
  for (std::string_view key :
       {"generation_config.json", "modules.json", "params.json", "modeling_x.py", "LICENSE",
        "labels.csv", "preprocessor_config.json", "SYSTEM_PROMPT.txt",
        "custom_generate/generate.py", "sentence_bert_config.json", "1_Pooling/config.json"}) {
    EXPECT_FALSE(IsTokenizerFile(key)) << key;
  }
}

std::vector<std::string> KeysOf(const absl::StatusOr<std::vector<ListedObject>>& files) {
  EXPECT_TRUE(files.ok()) << files.status();
  std::vector<std::string> keys;
  if (files.ok()) {
    for (const ListedObject& file : *files) keys.push_back(file.key);
  }
  return keys;
}

TEST(AuxiliaryFiles, WhatIsLeftOutIsSaidInOneNote) {
  const Checkpoint reference = MakeReference({{"model.safetensors", "w"},
                                              {"README.md", "r"},
                                              {".gitattributes", "g"},
                                              {"tokenizer.json", "{}"},
                                              {"a.png", ""},
                                              {"b.png", ""},
                                              {"c.png", ""},
                                              {"d.pdf", ""},
                                              {"trainer_state.json", "{}"},
                                              {"mm_projector.bin", ""},
                                              {"optimizer.pt", ""},
                                              {"assets/x.wav", ""},
                                              {"checkpoint-10/tokenizer.json", "{}"},
                                              {"runs/events", ""},
                                              {".cache/x.json", ""},
                                              {"global_step100/x.json", ""}});
  AuxiliaryRemarks remarks;
  EXPECT_THAT(KeysOf(ListAuxiliaryFiles(reference, &remarks)), ElementsAre("tokenizer.json"));
  EXPECT_THAT(remarks.warnings, IsEmpty());
  EXPECT_THAT(
      remarks.notes,
      ElementsAre(AllOf(HasSubstr("left out of the output: "),
                        HasSubstr("'a.png', 'b.png', 'c.png' and 1 more (pictures"),
                        HasSubstr("'trainer_state.json' (records"),
                        HasSubstr("'mm_projector.bin' (weights beside"),
                        Not(HasSubstr("optimizer")), HasSubstr("the folder 'assets/' (not known"),
                        Not(HasSubstr("checkpoint-10")), Not(HasSubstr("runs")))));
  // An ordinary repository of the hub says nothing.
  AuxiliaryRemarks none;
  EXPECT_THAT(KeysOf(ListAuxiliaryFiles(MakeReference({{"README.md", ""},
                                                       {".gitattributes", ""},
                                                       {"LICENSE", ""},
                                                       {"pytorch_model.bin", ""},
                                                       {"original/params.json", ""},
                                                       {"model.safetensors.index.json", ""},
                                                       {"generation_config.json", ""}}),
                                        &none)),
              ElementsAre("LICENSE", "generation_config.json"));
  EXPECT_THAT(none.notes, IsEmpty());
}

TEST(AuxiliaryFiles, ModulesThatAreNamedGoAlong) {
  const Checkpoint reference = MakeReference(
      {{"modules.json",
        R"([{"path": ""}, {"path": "1_Pooling"}, {"path": "2_Dense/"}, {"path": "../x"}])"},
       {"1_Pooling/config.json", "{}"},
       {"2_Dense/config.json", "{}"},
       {"2_Dense/model.safetensors", "w"},
       {"2_Dense/.hidden", "h"},
       {"3_Other/config.json", "{}"},
       {"custom_generate/generate.py", "p"},
       {"custom_generate/README.md", "r"}});
  AuxiliaryRemarks remarks;
  EXPECT_THAT(
      KeysOf(ListAuxiliaryFiles(reference, &remarks)),
      ElementsAre("1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors",
                  "custom_generate/generate.py", "modules.json"));
  EXPECT_THAT(remarks.notes, ElementsAre(HasSubstr("the folder '3_Other/'")));
  EXPECT_THAT(remarks.warnings, ElementsAre(HasSubstr("'../x', expected a folder below the model"),
                                            AllOf(HasSubstr("'2_Dense/model.safetensors'"),
                                                  HasSubstr("not merged"))));
  // Pickled ones are not taken, and that is told; a file that is no list names none.
  AuxiliaryRemarks pickled;
  EXPECT_THAT(KeysOf(ListAuxiliaryFiles(MakeReference({{"modules.json", R"([{"path": "2_Dense"}])"},
                                                       {"2_Dense/pytorch_model.bin", "w"}}),
                                        &pickled)),
              ElementsAre("modules.json"));
  EXPECT_THAT(pickled.warnings, ElementsAre(HasSubstr("'2_Dense/pytorch_model.bin': pickled")));
  AuxiliaryRemarks broken;
  EXPECT_THAT(KeysOf(ListAuxiliaryFiles(MakeReference({{"modules.json", "{"}}), &broken)),
              ElementsAre("modules.json"));
  EXPECT_THAT(broken.warnings, ElementsAre(HasSubstr("found no JSON list")));
}

TEST(AuxiliaryFiles, SizeAndNumberAreBounded) {
  const std::string large(kMaxUnknownBytes + 1, 'x');
  AuxiliaryRemarks remarks;
  EXPECT_THAT(KeysOf(ListAuxiliaryFiles(
                  MakeReference({{"table.of_ours", large}, {"table.json", large}}), &remarks)),
              ElementsAre("table.json"));
  EXPECT_THAT(remarks.warnings,
              ElementsAre(AllOf(HasSubstr("larger than 16.0 MiB"), HasSubstr("'table.of_ours'"))));
  std::map<std::string, std::string> files = {{"tokenizer.json", "{}"}};
  for (size_t i = 0; i < kMaxAuxiliaryFiles; ++i) files[absl::StrCat("x", i, ".json")] = "";
  AuxiliaryRemarks many;
  EXPECT_THAT(KeysOf(ListAuxiliaryFiles(MakeReference(files), &many)),
              ElementsAre("tokenizer.json"));
  EXPECT_THAT(many.warnings,
              ElementsAre(HasSubstr("found 1001 small files, expected at most 1000")));
}

TEST(AuxiliaryFiles, PointersOfGitLfsAreRefused) {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, '0') +
      "\nsize 17\n";
  const Checkpoint reference = MakeReference({{"tokenizer.json", pointer}});
  const auto files = ListAuxiliaryFiles(reference, reference);
  ASSERT_TRUE(files.ok());
  const absl::Status refused = RefuseGitLfsPointers(*files);
  EXPECT_TRUE(absl::IsInvalidArgument(refused));
  EXPECT_THAT(std::string(refused.message()),
              AllOf(HasSubstr("tokenizer.json"), HasSubstr("git lfs pull")));
  const Checkpoint whole = MakeReference({{"tokenizer.json", std::string(150, ' ')}});
  EXPECT_TRUE(RefuseGitLfsPointers(*ListAuxiliaryFiles(whole, whole)).ok());
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
