// Adapters on a model: which tensors they change and how.
#include "common/checkpoint/adapted_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "common/checkpoint/alignment.h"
#include "tests/common/checkpoint/adapted_model_fixture.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(AdaptedModelTest, ALinearModule) {
  const std::string uri = stage_.WriteAdapter("x", Pair(kQ, {2, 6}, {4, 2}));
  const Checkpoint model = Good(uri, 0.5);
  EXPECT_EQ(model.given, "base+x");
  ASSERT_EQ(model.places.size(), 1u);
  ASSERT_EQ(model.shards.size(), base_.shards.size() + 1);
  EXPECT_EQ(model.shards.back().place, 1u);
  EXPECT_EQ(model.shards.back().key, "adapter_model.safetensors");
  const LowRankTerm& term = Term(model, std::string(kQ) + ".weight");
  EXPECT_EQ(term.rank, 2u);
  EXPECT_THAT(Evaluate(model, term, 4, 6),
              testing::ElementsAreArray(Product(ReadStored(uri, std::string(kQ) + ".lora_A.weight"),
                                                ReadStored(uri, std::string(kQ) + ".lora_B.weight"),
                                                2, 0.5 * 2)));
  // All else is the base's.
  for (const CheckpointTensor& tensor : model.tensors) {
    const bool changed = tensor.name == std::string(kQ) + ".weight";
    EXPECT_EQ(tensor.update.has_value(), changed) << tensor.name;
    EXPECT_EQ(tensor.offset, base_.Find(tensor.name)->offset);
    EXPECT_EQ(tensor.shard, base_.Find(tensor.name)->shard);
  }
  ASSERT_EQ(model.adapters.size(), 1u);
  EXPECT_EQ(DescribeAdapter(model.adapters[0]),
            "LoRA, 1 module, r=2, alpha 4, scale 2, weight 0.5");
  EXPECT_THAT(model.notes, ElementsAre(HasSubstr("LoRA, 1 module, r=2, alpha 4, scale 2")));
  EXPECT_THAT(model.warnings, IsEmpty());
}

TEST_F(AdaptedModelTest, AMatrixThatIsStoredTransposed) {
  TinyCheckpoint tiny;
  tiny.tensors = {{"h.0.attn.c_attn.weight", DType::kF32, {6, 9}},
                  {"h.0.attn.c_proj.weight", DType::kF32, {6, 6}}};
  tiny.config = R"({"model_type": "gpt2"})";
  base_ = stage_.Make("gpt2", tiny);
  auto tensors = Pair("transformer.h.0.attn.c_attn", {2, 6}, {9, 2});
  for (auto& more : Pair("transformer.h.0.attn.c_proj", {2, 6}, {6, 2})) tensors.push_back(more);
  const std::string uri = stage_.WriteAdapter("x", tensors);
  const Checkpoint model = Good(uri);
  for (const auto& [name, cols] : std::vector<std::pair<std::string, uint64_t>>{
           {"h.0.attn.c_attn", 9}, {"h.0.attn.c_proj", 6}}) {
    const std::string key = "transformer." + name;
    EXPECT_THAT(
        Evaluate(model, Term(model, name + ".weight"), 6, cols),
        testing::ElementsAreArray(Transposed(Product(ReadStored(uri, key + ".lora_A.weight"),
                                                     ReadStored(uri, key + ".lora_B.weight"), 2, 2),
                                             cols)))
        << name;
  }
}

TEST_F(AdaptedModelTest, SquareMatricesAreAsTheOthersOfTheirModel) {
  TinyCheckpoint tiny;
  tiny.tensors = {{"h.0.wide.weight", DType::kF32, {6, 9}},
                  {"h.0.square.weight", DType::kF32, {6, 6}}};
  for (const bool turned : {false, true}) {
    tiny.tensors[0].shape = turned ? Shape{6, 9} : Shape{9, 6};
    base_ = stage_.Make(turned ? "turned" : "plain", tiny);
    auto tensors = Pair("h.0.wide", {2, 6}, {9, 2});
    for (auto& more : Pair("h.0.square", {2, 6}, {6, 2})) tensors.push_back(more);
    const std::string uri = stage_.WriteAdapter(turned ? "x" : "y", tensors);
    const Checkpoint model = Good(uri);
    const std::vector<double> product = Product(ReadStored(uri, "h.0.square.lora_A.weight"),
                                                ReadStored(uri, "h.0.square.lora_B.weight"), 2, 2);
    EXPECT_THAT(Evaluate(model, Term(model, "h.0.square.weight"), 6, 6),
                testing::ElementsAreArray(turned ? Transposed(product, 6) : product));
  }
}

TEST_F(AdaptedModelTest, AnEmbedding) {
  const std::string uri =
      stage_.WriteAdapter("x", {{"model.embed_tokens.lora_embedding_A", {2, 7}},
                                {"model.embed_tokens.lora_embedding_B", {6, 2}}});
  const Checkpoint model = Good(uri);
  EXPECT_THAT(Evaluate(model, Term(model, "model.embed_tokens.weight"), 7, 6),
              testing::ElementsAreArray(
                  Transposed(Product(ReadStored(uri, "model.embed_tokens.lora_embedding_A"),
                                     ReadStored(uri, "model.embed_tokens.lora_embedding_B"), 2, 2),
                             6)));
}

TEST_F(AdaptedModelTest, AConvolution) {
  TinyCheckpoint tiny;
  tiny.tensors = {{"conv.weight", DType::kF32, {5, 3, 2, 2}}};
  base_ = stage_.Make("conv", tiny);
  const std::string uri = stage_.WriteAdapter("x", Pair("conv", {2, 3, 2, 2}, {5, 2, 1, 1}));
  const Checkpoint model = Good(uri);
  EXPECT_THAT(Evaluate(model, Term(model, "conv.weight"), 5, 12),
              testing::ElementsAreArray(Product(ReadStored(uri, "conv.lora_A.weight"),
                                                ReadStored(uri, "conv.lora_B.weight"), 2, 2)));
  // In groups its factors are others.
  EXPECT_THAT(Refused(stage_.WriteAdapter("y", Pair("conv", {2, 6, 2, 2}, {5, 1, 1, 1}))),
              HasSubstr("expected the factors of 'conv.weight' of [5, 3, 2, 2]"));
}

TEST_F(AdaptedModelTest, ParametersOfExperts) {
  // E = 3 experts, rank 2 each: A [r E, in] by expert, B [out, r E] with experts innermost.
  TinyCheckpoint tiny;
  tiny.tensors = {{"model.layers.0.mlp.experts.gate_up_proj", DType::kF32, {3, 8, 5}},
                  {"model.layers.0.mlp.experts.down_proj", DType::kF32, {3, 5, 4}}};
  base_ = stage_.Make("moe", tiny);
  const std::string experts = "model.layers.0.mlp.experts";
  auto tensors = Pair(experts + ".base_layer", {6, 5}, {8, 6});
  for (auto& more : Pair(experts, {6, 4}, {5, 6})) tensors.push_back(more);
  const std::string uri = stage_.WriteAdapter("x", tensors,
                                              R"("r": 2, "lora_alpha": 4, "target_modules": [],
         "target_parameters": ["mlp.experts.down_proj", "mlp.experts.gate_up_proj"])");
  const Checkpoint model = Good(uri);
  EXPECT_EQ(DescribeAdapter(model.adapters[0]), "LoRA, 2 of 2 modules, r=2, alpha 4, scale 2");
  for (const auto& [key, name, out, in] :
       std::vector<std::tuple<std::string, std::string, uint64_t, uint64_t>>{
           {experts + ".base_layer", experts + ".gate_up_proj", 8, 5},
           {experts, experts + ".down_proj", 5, 4}}) {
    const std::vector<float> a = ReadStored(uri, key + ".lora_A.weight");
    const std::vector<float> b = ReadStored(uri, key + ".lora_B.weight");
    std::vector<double> expected;
    for (uint64_t e = 0; e < 3; ++e) {
      for (uint64_t o = 0; o < out; ++o) {
        for (uint64_t i = 0; i < in; ++i) {
          double sum = 0;
          for (uint64_t k = 0; k < 2; ++k) {
            sum += static_cast<double>(b[o * 6 + k * 3 + e]) * a[(e * 2 + k) * in + i];
          }
          expected.push_back(2 * sum);
        }
      }
    }
    EXPECT_THAT(Evaluate(model, Term(model, name), out, in), testing::ElementsAreArray(expected))
        << name;
  }
}

TEST_F(AdaptedModelTest, PackedExpertsOntoExpertsThatAreStoredOneByOne) {
  TinyCheckpoint tiny;
  const std::string experts = "model.layers.0.mlp.experts";
  for (int e = 0; e < 3; ++e) {
    tiny.tensors.push_back(
        {absl::StrCat(experts, ".", e, ".gate_proj.weight"), DType::kF32, {4, 5}});
    tiny.tensors.push_back({absl::StrCat(experts, ".", e, ".up_proj.weight"), DType::kF32, {4, 5}});
  }
  base_ = stage_.Make("single", tiny);
  const std::string uri = stage_.WriteAdapter(
      "x", Pair(experts, {6, 5}, {8, 6}),
      R"("r": 2, "lora_alpha": 4, "target_parameters": ["experts.gate_up_proj"])");
  const Checkpoint model = Good(uri);
  const std::vector<float> a = ReadStored(uri, experts + ".lora_A.weight");
  const std::vector<float> b = ReadStored(uri, experts + ".lora_B.weight");
  for (uint64_t e = 0; e < 3; ++e) {
    for (const uint64_t half : {0, 1}) {
      std::vector<double> expected;
      for (uint64_t o = half * 4; o < half * 4 + 4; ++o) {
        for (uint64_t i = 0; i < 5; ++i) {
          double sum = 0;
          for (uint64_t k = 0; k < 2; ++k) {
            sum += static_cast<double>(b[o * 6 + k * 3 + e]) * a[(e * 2 + k) * 5 + i];
          }
          expected.push_back(2 * sum);
        }
      }
      const std::string name =
          absl::StrCat(experts, ".", e, half == 0 ? ".gate_proj.weight" : ".up_proj.weight");
      EXPECT_THAT(Evaluate(model, Term(model, name), 4, 5), testing::ElementsAreArray(expected))
          << name;
    }
  }
}

TEST_F(AdaptedModelTest, BiasesOfFactorsAreAddedToBiases) {
  auto tensors = Pair(kQ, {2, 6}, {4, 2});
  tensors.push_back({std::string(kQ) + ".lora_B.bias", {4}});
  const std::string uri =
      stage_.WriteAdapter("x", tensors, R"("r": 2, "lora_alpha": 4, "lora_bias": true)");
  const Checkpoint model = Good(uri);
  std::vector<double> expected;
  for (const float value : ReadStored(uri, std::string(kQ) + ".lora_B.bias")) {
    expected.push_back(2.0 * value);
  }
  EXPECT_THAT(Evaluate(model, Term(model, std::string(kQ) + ".bias"), 4, 1),
              testing::ElementsAreArray(expected));
  EXPECT_THAT(Refused(stage_.WriteAdapter("y", tensors)), HasSubstr("does not say lora_bias"));
  auto other = Pair(kV, {2, 6}, {3, 2});
  other.push_back({std::string(kV) + ".lora_B.bias", {3}});
  EXPECT_THAT(Refused(stage_.WriteAdapter("z", other, R"("r": 2, "lora_bias": true)")),
              HasSubstr("the base has no 'model.layers.0.self_attn.v_proj.bias'"));
}

TEST_F(AdaptedModelTest, DoraBringsLengths) {
  auto tensors = Pair(kQ, {2, 6}, {4, 2});
  tensors.push_back({std::string(kQ) + ".lora_magnitude_vector", {4}});
  const std::string dora = R"("r": 2, "lora_alpha": 4, "use_dora": true)";
  const std::string uri = stage_.WriteAdapter("x", tensors, dora);
  const Checkpoint model = Good(uri);
  const LowRankUpdate& update = *model.Find(std::string(kQ) + ".weight")->update;
  ASSERT_TRUE(update.magnitudes.has_value());
  EXPECT_FALSE(update.magnitudes->of_columns);
  EXPECT_EQ(ReadBlock(model, update.magnitudes->magnitude),
            ReadStored(uri, std::string(kQ) + ".lora_magnitude_vector"));
  EXPECT_THAT(model.notes, ElementsAre(HasSubstr("DoRA, 1 module")));
  EXPECT_THAT(Refused(uri, 0.5), HasSubstr("weight 0.5"));
  EXPECT_THAT(Refused(stage_.WriteAdapter("y", tensors)), HasSubstr("use_dora"));
  EXPECT_THAT(Refused(stage_.WriteAdapter("z", Pair(kQ, {2, 6}, {4, 2}), dora)),
              HasSubstr("found no lora_magnitude_vector"));
  tensors.back().second = {6};
  EXPECT_THAT(Refused(stage_.WriteAdapter("w", tensors, dora)),
              AllOf(HasSubstr("found shape [6]"), HasSubstr("expected 4 lengths")));
}

TEST_F(AdaptedModelTest, SeveralAdaptersAreTermsInTheirOrder) {
  const std::string one = stage_.WriteAdapter("one", Pair(kQ, {2, 6}, {4, 2}));
  const std::string other =
      stage_.WriteAdapter("other", Pair(kQ, {3, 6}, {4, 3}), R"("r": 3, "lora_alpha": 3)");
  const auto model = stage_.Adapted(base_, {{one, 0.5}, {other, -1}});
  ASSERT_TRUE(model.ok()) << model.status();
  const std::vector<LowRankTerm>& terms = model->Find(std::string(kQ) + ".weight")->update->terms;
  ASSERT_EQ(terms.size(), 2u);
  EXPECT_EQ(terms[0].rank, 2u);
  EXPECT_EQ(terms[0].scale, 1);
  EXPECT_EQ(terms[1].rank, 3u);
  EXPECT_EQ(terms[1].scale, -1);
  EXPECT_EQ(model->shards[terms[1].row_factor.block.shard].place, 2u);
}

TEST_F(AdaptedModelTest, ProductsAreRoundedToWhatIsAskedFor) {
  const std::string uri = stage_.WriteAdapter("one", Pair(kQ, {2, 6}, {4, 2}));
  for (const auto rounded : std::vector<std::optional<DType>>{std::nullopt, DType::kBF16}) {
    auto adapter = OpenAdapter(uri, "x", Stores());
    ASSERT_TRUE(adapter.ok()) << adapter.status();
    adapter->rounded_to = rounded;
    const auto model = AdaptedModel(base_, {*adapter}, "base+x");
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ(model->Find(std::string(kQ) + ".weight")->update->rounded_to, rounded);
    const std::string told = DescribeAdapter(model->adapters[0]);
    EXPECT_EQ(told.find("rounded to bfloat16") != std::string::npos, rounded.has_value()) << told;
  }
}

TEST_F(AdaptedModelTest, TensorsThatAreBroughtWholeLieInTheAdaptersFile) {
  auto tensors = Pair(kQ, {2, 6}, {4, 2});
  tensors.push_back({"model.norm.weight", {6}});
  tensors.push_back({std::string(kQ) + ".base_layer.bias", {4}});
  const std::string uri =
      stage_.WriteAdapter("x", tensors, R"("r": 2, "modules_to_save": ["norm"], "bias": "all")");
  const Checkpoint model = Good(uri);
  for (const std::string name : {"model.norm.weight", "model.layers.0.self_attn.q_proj.bias"}) {
    const CheckpointTensor* tensor = model.Find(name);
    EXPECT_EQ(model.shards[tensor->shard].place, 1u) << name;
    EXPECT_FALSE(tensor->update.has_value());
  }
  EXPECT_THAT(model.notes, ElementsAre(HasSubstr("2 tensors whole")));
  EXPECT_THAT(Refused(uri, 0.5), HasSubstr("is brought whole"));
  const auto twice = stage_.Adapted(base_, {{uri, 1}, {uri, 1}});
  EXPECT_THAT(std::string(twice.status().message()), HasSubstr("another adapter of this model"));
  tensors[2].second = {5};
  EXPECT_THAT(Refused(stage_.WriteAdapter("y", tensors, R"("r": 2)")),
              AllOf(HasSubstr("found shape [5]"), HasSubstr("expected [6]")));
}

TEST_F(AdaptedModelTest, NamesBelowAnotherPrefix) {
  for (const std::string prefix : {"language_model.model.", "model.language_model.", ""}) {
    TinyCheckpoint tiny;
    tiny.tensors = {{prefix + "layers.0.self_attn.q_proj.weight", DType::kF32, {4, 6}},
                    {"visual.blocks.0.attn.qkv.weight", DType::kF32, {4, 6}}};
    base_ = stage_.Make("vlm" + prefix, tiny);
    const Checkpoint model = Good(stage_.WriteAdapter("x" + prefix, Pair(kQ, {2, 6}, {4, 2})));
    EXPECT_TRUE(model.Find(prefix + "layers.0.self_attn.q_proj.weight")->update.has_value());
  }
}

TEST_F(AdaptedModelTest, ATiedHeadTakesWhatIsAddedToIt) {
  base_ = stage_.Make("tied", Base(R"({"model_type": "llama", "tie_word_embeddings": true,
                                       "architectures": ["LlamaForCausalLM"]})"));
  const Checkpoint head = Good(stage_.WriteAdapter("x", Pair("lm_head", {2, 6}, {7, 2})));
  EXPECT_TRUE(head.Find("model.embed_tokens.weight")->update.has_value());
  EXPECT_THAT(head.warnings, ElementsAre(HasSubstr("the delta is added to that tensor")));
  const Checkpoint embedding =
      Good(stage_.WriteAdapter("y", {{"model.embed_tokens.lora_embedding_A", {2, 7}},
                                     {"model.embed_tokens.lora_embedding_B", {6, 2}}}));
  EXPECT_THAT(embedding.warnings, ElementsAre(HasSubstr("is the head 'lm_head.weight' too")));
  // A head that was trained whole is one of its own.
  const Checkpoint own = Good(stage_.WriteAdapter("z", {{"lm_head.weight", {7, 6}}}));
  ASSERT_NE(own.Find("lm_head.weight"), nullptr);
  EXPECT_EQ(own.shards[own.Find("lm_head.weight")->shard].place, 1u);
}

TEST_F(AdaptedModelTest, AHeadThatIsStoredTooIsNoLongerItsEmbedding) {
  TinyCheckpoint tiny = Base(R"({"model_type": "llama", "tie_word_embeddings": true,
                                 "architectures": ["LlamaForCausalLM"]})");
  tiny.tensors.push_back({"lm_head.weight", DType::kF32, {7, 6}, TinyBytes(tiny.tensors[0], 1)});
  base_ = stage_.Make("both", tiny);
  const Checkpoint model =
      Good(stage_.WriteAdapter("x", {{"model.embed_tokens.lora_embedding_A", {2, 7}},
                                     {"model.embed_tokens.lora_embedding_B", {6, 2}}}));
  const auto plain = AlignModels({&base_, &base_});
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->tie_word_embeddings, std::nullopt);
  const auto alignment = AlignModels({&base_, &model});
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_EQ(alignment->tie_word_embeddings, false);
  EXPECT_THAT(alignment->warnings, Contains(HasSubstr("with other values")));
}

}  // namespace
}  // namespace merganser
