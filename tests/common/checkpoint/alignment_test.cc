#include "common/checkpoint/alignment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "tests/common/checkpoint/stage.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kUntied[] = R"({"model_type": "qwen2", "tie_word_embeddings": false})";
constexpr char kTied[] = R"({"model_type": "qwen2", "tie_word_embeddings": true})";
constexpr char kSilent[] = R"({"model_type": "qwen2"})";

std::vector<TinyTensor> Body(DType dtype = DType::kBF16, const std::string& prefix = "model.") {
  return {{prefix + "embed_tokens.weight", dtype, {8, 4}},
          {prefix + "layers.0.mlp.weight", dtype, {4, 4}},
          {prefix + "layers.1.mlp.weight", dtype, {4, 4}},
          {prefix + "norm.weight", dtype, {4}}};
}

TinyCheckpoint Model(std::vector<TinyTensor> tensors, const std::string& config = kSilent,
                     size_t shards = 1) {
  TinyCheckpoint tiny;
  tiny.tensors = std::move(tensors);
  tiny.config = config;
  tiny.shards = shards;
  return tiny;
}

TinyCheckpoint WithHead(const std::string& config) {
  std::vector<TinyTensor> tensors = Body();
  tensors.push_back({"lm_head.weight", DType::kBF16, {8, 4}});
  return Model(std::move(tensors), config);
}

class AlignmentTest : public ::testing::Test {
 protected:
  // The base and its experts, named base, e1, e2, ...
  absl::StatusOr<Alignment> Align(const std::vector<TinyCheckpoint>& models) {
    checkpoints_.clear();
    std::vector<const Checkpoint*> pointers;
    for (size_t i = 0; i < models.size(); ++i) {
      const std::string name = i == 0 ? "base" : absl::StrCat("e", i);
      checkpoints_.push_back(
          std::make_unique<Checkpoint>(stage_.Make(absl::StrCat(name, "-", ++count_), models[i])));
      checkpoints_.back()->given = name;
      pointers.push_back(checkpoints_.back().get());
    }
    return AlignModels(pointers);
  }
  std::string Refusal(const std::vector<TinyCheckpoint>& models) {
    const auto alignment = Align(models);
    EXPECT_EQ(alignment.status().code(), absl::StatusCode::kInvalidArgument) << alignment.status();
    const std::string message(alignment.status().message());
    EXPECT_EQ(message.find('\n'), std::string::npos);
    return message;
  }
  // "name" of the tensor that `aligned` takes from model `m`.
  std::string SourceName(const AlignedTensor& aligned, size_t m) {
    EXPECT_EQ(aligned.sources[m].model, m);
    return checkpoints_[m]->tensors[aligned.sources[m].tensor].name;
  }

  Stage stage_;
  int count_ = 0;
  std::vector<std::unique_ptr<Checkpoint>> checkpoints_;
};

TEST_F(AlignmentTest, PairsTensorsOfDifferentOrderShardsAndFloats) {
  std::vector<TinyTensor> reversed = Body(DType::kF32);
  std::reverse(reversed.begin(), reversed.end());
  const auto alignment =
      Align({Model(Body()), Model(reversed, kSilent, 3), Model(Body(DType::kF16))});
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_THAT(alignment->warnings, IsEmpty());
  ASSERT_EQ(alignment->tensors.size(), 4u);
  for (size_t t = 0; t < 4; ++t) {
    const AlignedTensor& aligned = alignment->tensors[t];
    EXPECT_EQ(aligned.name, Body()[t].name) << "the reference's order";
    EXPECT_EQ(aligned.shape, Body()[t].shape);
    EXPECT_EQ(aligned.dtype, DType::kBF16);
    EXPECT_FALSE(aligned.copied);
    EXPECT_FALSE(aligned.tied);
    ASSERT_EQ(aligned.sources.size(), 3u);
    for (size_t m = 0; m < 3; ++m) EXPECT_EQ(SourceName(aligned, m), aligned.name);
  }
}

TEST_F(AlignmentTest, ModelsMayLieInDifferentStores) {
  Stage folder(false);
  const Checkpoint base = stage_.Make("mixed", Model(Body()));
  const Checkpoint expert = folder.Make("mixed", Model(Body(), kSilent, 2));
  const auto alignment = AlignModels({&base, &expert});
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_EQ(alignment->tensors.size(), 4u);
}

TEST_F(AlignmentTest, OneModelAndNone) {
  EXPECT_TRUE(Align({Model(Body())}).ok());
  EXPECT_EQ(AlignModels({}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(AlignmentTest, ExtraTensorsAreDroppedByPattern) {
  std::vector<TinyTensor> tensors = Body();
  for (int i = 0; i < 12; ++i) {
    tensors.push_back({absl::StrCat("model.layers.", i, ".rotary_emb.inv_freq"), DType::kF32, {2}});
  }
  tensors.push_back({"v_head.summary.weight", DType::kF32, {1, 4}});
  tensors.push_back({"score.weight", DType::kF32, {1, 4}});
  tensors.push_back({"other", DType::kI32, {1}});
  const auto alignment = Align({Model(Body()), Model(tensors)});
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_EQ(alignment->tensors.size(), 4u);
  EXPECT_THAT(alignment->warnings,
              ElementsAre(AllOf(HasSubstr("model 'e1': dropped 12 tensors"),
                                HasSubstr("'model.layers.*.rotary_emb.inv_freq'"),
                                HasSubstr("computed when the model is loaded")),
                          AllOf(HasSubstr("dropped 1 tensor 'other'"), Not(HasSubstr("head"))),
                          AllOf(HasSubstr("'score.weight'"), HasSubstr("a value or reward head")),
                          AllOf(HasSubstr("'v_head.summary.weight'"), HasSubstr("value"))));
}

TEST_F(AlignmentTest, MissingTensorsAreNamedThenCounted) {
  std::vector<TinyTensor> tensors = Body();
  tensors.pop_back();
  EXPECT_THAT(Refusal({Model(Body()), Model(Body()), Model(tensors)}),
              AllOf(HasSubstr("model 'e2': tensor 'model.norm.weight' is missing from memory://"),
                    HasSubstr("expected [4] as in"), HasSubstr("model.safetensors")));
  std::vector<TinyTensor> many;
  for (int i = 0; i < 10; ++i) many.push_back({absl::StrCat("t", i), DType::kBF16, {1}});
  std::vector<TinyTensor> few(many.begin(), many.begin() + 2);
  const std::string message = Refusal({Model(many), Model(few)});
  EXPECT_THAT(message, AllOf(HasSubstr("'t2'"), HasSubstr("'t3'"), HasSubstr("'t4'"),
                             Not(HasSubstr("'t5'")), HasSubstr("; and 5 more")));
}

TEST_F(AlignmentTest, ShapesAreNamedWithBothFiles) {
  std::vector<TinyTensor> tensors = Body();
  tensors[1].shape = {4, 5};
  EXPECT_THAT(Refusal({Model(Body()), Model(tensors)}),
              AllOf(HasSubstr("model 'e1': memory://"), HasSubstr("model.safetensors"),
                    HasSubstr("tensor 'model.layers.0.mlp.weight': found shape [4, 5], expected "
                              "[4, 4] as in memory://"),
                    Not(HasSubstr("tokenizer"))));
  tensors = Body();
  tensors[1].shape = {16};
  EXPECT_THAT(Refusal({Model(Body()), Model(tensors)}),
              HasSubstr("found shape [16], expected [4, 4]"));
}

TEST_F(AlignmentTest, OtherVocabularyIsHinted) {
  std::vector<TinyTensor> tensors = Body();
  tensors[0].shape = {9, 4};
  EXPECT_THAT(Refusal({Model(Body()), Model(tensors)}),
              HasSubstr("embedding rows differ: the tokenizer was changed"));
}

TEST_F(AlignmentTest, IntegersAreCopiedAndMustBeOfOneDtype) {
  const auto with = [](DType dtype) {
    std::vector<TinyTensor> tensors = Body();
    tensors.push_back({"model.ids", dtype, {4}});
    return Model(tensors);
  };
  for (const DType dtype : {DType::kI64, DType::kU8, DType::kBool}) {
    const auto alignment = Align({with(dtype), with(dtype)});
    ASSERT_TRUE(alignment.ok()) << alignment.status();
    EXPECT_TRUE(alignment->tensors[4].copied);
    EXPECT_FALSE(alignment->tensors[0].copied);
  }
  EXPECT_THAT(Refusal({with(DType::kI64), with(DType::kI32)}),
              HasSubstr("tensor 'model.ids': found dtype I32, expected I64 as in"));
  EXPECT_THAT(Refusal({with(DType::kI64), with(DType::kF32)}), HasSubstr("found dtype F32"));
  EXPECT_THAT(Refusal({with(DType::kF32), with(DType::kI64)}),
              HasSubstr("found dtype I64, expected F32"));
}

TEST_F(AlignmentTest, ComplexTensorsAreRefused) {
  std::vector<TinyTensor> tensors = Body();
  tensors.push_back({"freqs", DType::kC64, {4}});
  EXPECT_THAT(Refusal({Model(tensors), Model(tensors)}),
              HasSubstr("tensor 'freqs': found dtype C64, expected floats"));
}

TEST_F(AlignmentTest, QuantisedTensorsAreRefusedHoweverTheModelWasMade) {
  ASSERT_TRUE(Align({Model(Body()), Model(Body())}).ok());
  checkpoints_[1]->tensors[2].dtype = DType::kF8E4M3;
  const auto alignment = AlignModels({checkpoints_[0].get(), checkpoints_[1].get()});
  EXPECT_THAT(std::string(alignment.status().message()),
              AllOf(HasSubstr("F8_E4M3"), HasSubstr("dequantise")));
}

TEST_F(AlignmentTest, OtherKindsOfModelsAreNamed) {
  EXPECT_THAT(
      Refusal({Model(Body(), R"({"model_type": "qwen2"})"),
               Model(Body(), R"({"model_type": "llama"})")}),
      AllOf(HasSubstr("model_type is 'llama', expected 'qwen2' as in"), HasSubstr("config.json")));
  EXPECT_THAT(Refusal({Model(Body(), R"({"architectures": ["AForCausalLM"]})"),
                       Model(Body(), R"({"architectures": ["AForTokenClassification"]})")}),
              HasSubstr("architectures is 'AForTokenClassification', expected 'AForCausalLM'"));
  EXPECT_TRUE(Align({Model(Body(), R"({"model_type": "qwen2"})"), Model(Body(), "")}).ok());
}

TEST_F(AlignmentTest, ArchitecturesThatAWrapperSpelledAreAWarning) {
  const auto model = [&](const std::string& name) {
    return Model(Body(), absl::StrCat("{\"architectures\": [\"", name, "\"]}"));
  };
  for (const char* name : {"FSDPLlamaForCausalLM", "LLaMAForCausalLM", "OptimizedModule",
                           "PeftModelForCausalLM", "ParallelLlamaForCausalLM"}) {
    for (const bool reversed : {false, true}) {
      const TinyCheckpoint plain = model("LlamaForCausalLM"), other = model(name);
      const auto alignment = reversed ? Align({other, plain}) : Align({plain, other});
      ASSERT_TRUE(alignment.ok()) << alignment.status();
      EXPECT_THAT(alignment->warnings,
                  ElementsAre(AllOf(HasSubstr(name), HasSubstr("'LlamaForCausalLM'"),
                                    HasSubstr("spelling"))));
    }
  }
  EXPECT_THAT(Refusal({model("BertForMaskedLM"), model("DistilBertForMaskedLM")}),
              HasSubstr("not of one kind"));
  std::vector<TinyTensor> tensors = Body();
  tensors.pop_back();
  EXPECT_THAT(Refusal({model("LlamaForCausalLM"),
                       Model(tensors, R"({"architectures": ["FSDPLlamaForCausalLM"]})")}),
              HasSubstr("is missing"));
}

// --- Tied heads.

TEST_F(AlignmentTest, AMissingTiedHeadIsFilledFromTheEmbedding) {
  for (const char* config : {kTied, kSilent}) {
    const auto alignment = Align({WithHead(kUntied), Model(Body(), config), WithHead(kUntied)});
    ASSERT_TRUE(alignment.ok()) << alignment.status();
    const AlignedTensor& head = alignment->tensors[4];
    EXPECT_TRUE(head.tied);
    EXPECT_EQ(SourceName(head, 0), "lm_head.weight");
    EXPECT_EQ(SourceName(head, 1), "model.embed_tokens.weight");
    EXPECT_EQ(SourceName(head, 2), "lm_head.weight");
    EXPECT_FALSE(alignment->tensors[0].tied);
  }
}

TEST_F(AlignmentTest, AMissingHeadThatIsNotTiedIsMissing) {
  EXPECT_THAT(Refusal({WithHead(kUntied), Model(Body(), kUntied)}),
              HasSubstr("tensor 'lm_head.weight' is missing"));
}

TEST_F(AlignmentTest, TheEmbeddingIsFoundUnderAnotherPrefix) {
  std::vector<TinyTensor> tensors = Body(DType::kBF16, "language_model.");
  std::vector<TinyTensor> with_head = tensors;
  with_head.push_back({"lm_head.weight", DType::kBF16, {8, 4}});
  const auto alignment = Align({Model(with_head, kUntied), Model(tensors, kTied)});
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_EQ(SourceName(alignment->tensors[4], 1), "language_model.embed_tokens.weight");
}

TEST_F(AlignmentTest, EmbeddingsOfOneRankAreNoEmbedding) {
  std::vector<TinyTensor> tensors = {{"left.embed_tokens.weight", DType::kBF16, {8, 4}},
                                     {"right.embed_tokens.weight", DType::kBF16, {8, 4}}};
  std::vector<TinyTensor> with_head = tensors;
  with_head.push_back({"lm_head.weight", DType::kBF16, {8, 4}});
  EXPECT_THAT(Refusal({Model(with_head, kUntied), Model(tensors, kTied)}),
              HasSubstr("'lm_head.weight' is missing"));
}

TEST_F(AlignmentTest, ATiedHeadOfAnotherShapeIsNamed) {
  std::vector<TinyTensor> tensors = Body();
  tensors[0].shape = {9, 4};
  const std::string message = Refusal({WithHead(kUntied), Model(tensors, kTied)});
  EXPECT_THAT(message, HasSubstr("tensor 'model.embed_tokens.weight': found shape [9, 4], expected "
                                 "[8, 4]"));
  EXPECT_THAT(message, HasSubstr("(tensor 'lm_head.weight')"));
}

// --- Renamings.

TEST_F(AlignmentTest, KnownPrefixesAreNamedWithWhatToDo) {
  struct Case {
    const char* base;
    const char* expert;
    const char* found;
    const char* advice;
  };
  const Case cases[] = {
      {"model.", "model.language_model.", "'model.language_model.', expected 'model.'",
       "transformers"},
      {"model.language_model.", "model.", "expected 'model.language_model.'", "transformers"},
      {"model.", "language_model.model.", "of model 'base' do not", "transformers"},
      {"model.", "base_model.model.model.", "begin with 'base_model.model.'", "merge_and_unload"},
      {"model.", "module.model.", "begin with 'module.'", "save the wrapped module"},
      {"model.", "_orig_mod.model.", "begin with '_orig_mod.'", "torch.compile"},
      {"module.model.", "model.", "of model 'base' begin with 'module.'", "(of model 'base')"},
      {"", "model.", "begin with 'model.', which", "transformers"},
  };
  for (const Case& c : cases) {
    EXPECT_THAT(Refusal({Model(Body(DType::kBF16, c.base)), Model(Body(DType::kBF16, c.expert))}),
                AllOf(HasSubstr("model 'e1'"), HasSubstr("4 tensors"), HasSubstr(c.found),
                      HasSubstr(c.advice), HasSubstr("embed_tokens.weight'"),
                      HasSubstr("write `rename: auto` in the recipe")))
        << c.base << " " << c.expert;
  }
}

TEST_F(AlignmentTest, OneMissingTensorIsNoRenaming) {
  std::vector<TinyTensor> tensors = Body();
  tensors.pop_back();
  tensors.push_back({"unrelated.norm.weight", DType::kBF16, {4}});
  EXPECT_THAT(Refusal({Model(Body()), Model(tensors)}),
              HasSubstr("tensor 'model.norm.weight' is missing"));
}

}  // namespace
}  // namespace merganser
