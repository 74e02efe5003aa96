// Parameters that models store under several names.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "common/checkpoint/alignment.h"
#include "tests/common/checkpoint/stage.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr char kTied[] = R"({"model_type": "qwen2", "tie_word_embeddings": true})";
constexpr char kUntied[] = R"({"model_type": "qwen2", "tie_word_embeddings": false})";
constexpr char kSilent[] = R"({"model_type": "qwen2"})";
constexpr char kEmbedding[] = "model.embed_tokens.weight";
constexpr char kHead[] = "lm_head.weight";

// A tensor whose values are told by `value`, whatever it is called.
TinyTensor Matrix(const std::string& name, int value, const Shape& shape = {8, 4}) {
  TinyTensor tensor{name, DType::kBF16, shape};
  tensor.bytes = TinyBytes({"any name", DType::kBF16, shape}, static_cast<uint64_t>(value));
  return tensor;
}

TinyCheckpoint Model(std::vector<TinyTensor> tensors, const std::string& config) {
  TinyCheckpoint tiny;
  tiny.tensors = std::move(tensors);
  tiny.tensors.push_back({"model.layers.0.mlp.weight", DType::kBF16, {4, 4}});
  tiny.tensors.push_back({"model.layers.1.mlp.weight", DType::kBF16, {4, 4}});
  tiny.config = config;
  return tiny;
}

// Embedding and head, each of the given value; 0: not stored.
TinyCheckpoint Ends(int embedding, int head, const std::string& config = kTied) {
  std::vector<TinyTensor> tensors;
  if (embedding != 0) tensors.push_back(Matrix(kEmbedding, embedding));
  if (head != 0) tensors.push_back(Matrix(kHead, head));
  return Model(std::move(tensors), config);
}

class TiesTest : public ::testing::Test {
 protected:
  // Models are called m0, m1, ...
  absl::StatusOr<Alignment> Align(const std::vector<TinyCheckpoint>& models,
                                  const std::vector<LayerSlice>& slices = {},
                                  const AlignOptions& options = {}) {
    checkpoints_.clear();
    std::vector<const Checkpoint*> pointers;
    for (size_t i = 0; i < models.size(); ++i) {
      checkpoints_.push_back(
          std::make_unique<Checkpoint>(stage_.Make(absl::StrCat("m", ++count_), models[i])));
      checkpoints_.back()->given = absl::StrCat("m", i);
      pointers.push_back(checkpoints_.back().get());
    }
    return AlignModels(pointers, slices, options);
  }
  std::string Refusal(const std::vector<TinyCheckpoint>& models) {
    const auto alignment = Align(models);
    EXPECT_EQ(alignment.status().code(), absl::StatusCode::kInvalidArgument) << alignment.status();
    return std::string(alignment.status().message());
  }
  // Names of the output outside of layers.
  static std::vector<std::string> Names(const Alignment& alignment) {
    std::vector<std::string> names;
    for (const AlignedTensor& tensor : alignment.tensors) {
      if (tensor.name.find(".layers.") == std::string::npos) names.push_back(tensor.name);
    }
    return names;
  }
  // "model:name" of each source of a tensor of the output, as stored.
  std::vector<std::string> Stored(const Alignment& alignment, const std::string& name) {
    std::vector<std::string> found;
    for (const AlignedTensor& aligned : alignment.tensors) {
      if (aligned.name != name) continue;
      for (const TensorSource& source : aligned.sources) {
        found.push_back(absl::StrCat(source.model, ":",
                                     checkpoints_[source.model]->tensors[source.tensor].name));
      }
    }
    return found;
  }

  Stage stage_;
  int count_ = 0;
  std::vector<std::unique_ptr<Checkpoint>> checkpoints_;
};

TEST_F(TiesTest, ATiedHeadIsMergedOnceWhoeverStoresIt) {
  for (const auto& models :
       {std::vector{Ends(1, 1), Ends(2, 2)}, std::vector{Ends(1, 1), Ends(2, 0)},
        std::vector{Ends(1, 0), Ends(2, 2)}}) {
    const auto alignment = Align(models);
    ASSERT_TRUE(alignment.ok()) << alignment.status();
    EXPECT_THAT(Names(*alignment), ElementsAre(kEmbedding));
    EXPECT_TRUE(alignment->tensors[0].tied);
    EXPECT_THAT(alignment->tensors[0].aliases, ElementsAre(kHead));
    EXPECT_THAT(alignment->warnings,
                ElementsAre(AllOf(HasSubstr("tensor 'lm_head.weight' of model"),
                                  HasSubstr("heads are tied"), HasSubstr("merged once"))));
    EXPECT_FALSE(alignment->tie_word_embeddings.has_value());
  }
  const auto neither = Align({Ends(1, 0), Ends(2, 0)});
  ASSERT_TRUE(neither.ok()) << neither.status();
  EXPECT_THAT(neither->warnings, IsEmpty());
  EXPECT_FALSE(neither->tensors[0].tied);
}

TEST_F(TiesTest, AModelThatStoresTheHeadAloneHasItsEmbeddingThere) {
  const auto expert = Align({Ends(1, 0), Ends(0, 2)});
  ASSERT_TRUE(expert.ok()) << expert.status();
  EXPECT_THAT(Stored(*expert, kEmbedding),
              ElementsAre("0:model.embed_tokens.weight", "1:lm_head.weight"));
  const auto base = Align({Ends(0, 1), Ends(2, 0)});
  ASSERT_TRUE(base.ok()) << base.status();
  EXPECT_THAT(Names(*base), ElementsAre(kEmbedding)) << "the name that loaders know";
  EXPECT_THAT(Stored(*base, kEmbedding),
              ElementsAre("0:lm_head.weight", "1:model.embed_tokens.weight"));
  EXPECT_THAT(Refusal({Ends(1, 1, kUntied), Ends(0, 2, kUntied)}),
              HasSubstr("'model.embed_tokens.weight' is missing"));
}

TEST_F(TiesTest, OneModelKeepsBothNamesWithOneSetOfParameters) {
  const auto alignment = Align({Ends(1, 1)});
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_THAT(Names(*alignment), ElementsAre(kEmbedding, kHead));
  EXPECT_EQ(alignment->tensors[1].merged_as, kEmbedding);
  EXPECT_THAT(alignment->warnings, IsEmpty());
}

TEST_F(TiesTest, AnotherHeadUnderATiedConfigIsKeptAndTheConfigSaysSo) {
  for (const auto& models :
       {std::vector{Ends(1, 2), Ends(3, 4)}, std::vector{Ends(1, 2), Ends(3, 3)},
        std::vector{Ends(1, 2), Ends(3, 0)}, std::vector{Ends(1, 1), Ends(3, 4)},
        std::vector{Ends(1, 1), Ends(3, 4, kUntied)}, std::vector{Ends(1, 2)}}) {
    const auto alignment = Align(models);
    ASSERT_TRUE(alignment.ok()) << alignment.status();
    EXPECT_THAT(Names(*alignment), ElementsAre(kEmbedding, kHead));
    EXPECT_EQ(alignment->tie_word_embeddings, false);
    EXPECT_EQ(alignment->tensors[1].merged_as, "");
    EXPECT_THAT(alignment->warnings,
                ElementsAre(AllOf(HasSubstr("embeddings are tied, but"), HasSubstr("other values"),
                                  HasSubstr("tie_word_embeddings: false"))));
  }
  const auto filled = Align({Ends(1, 2), Ends(3, 0)});
  ASSERT_TRUE(filled.ok());
  EXPECT_THAT(Stored(*filled, kHead),
              ElementsAre("0:lm_head.weight", "1:model.embed_tokens.weight"));
}

TEST_F(TiesTest, AHeadThatDiffersInItsLastByteIsAnotherHead) {
  // Larger than what is compared at once.
  const Shape shape = {1100, 2000};
  TinyTensor head = Matrix(kHead, 1, shape);
  const auto with = [&] { return Model({Matrix(kEmbedding, 1, shape), head}, kTied); };
  const auto same = Align({with()});
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_FALSE(same->tie_word_embeddings.has_value());
  head.bytes.back() ^= 1;
  const auto other = Align({with()});
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(other->tie_word_embeddings, false);
}

TEST_F(TiesTest, AnotherHeadThatTheReferenceHasNoPlaceForIsAnError) {
  for (const char* config : {kTied, kUntied, kSilent}) {
    EXPECT_THAT(
        Refusal({Ends(1, 0), Ends(2, 3, config)}),
        AllOf(HasSubstr("model 'm1'"), HasSubstr("tensor 'lm_head.weight' is a head of its"),
              HasSubstr("model 'm0'"), HasSubstr("ties its head")));
  }
  EXPECT_THAT(Refusal({Ends(1, 0, kSilent), Ends(2, 3, kUntied)}), HasSubstr("ties its head"));
}

TEST_F(TiesTest, AnUntiedReferenceTakesStoredHeadsAsTheyAre) {
  const auto alignment = Align({Ends(1, 1, kUntied), Ends(2, 3), Ends(4, 4), Ends(5, 0)});
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_THAT(Stored(*alignment, kHead),
              ElementsAre("0:lm_head.weight", "1:lm_head.weight", "2:lm_head.weight",
                          "3:model.embed_tokens.weight"));
  EXPECT_THAT(alignment->warnings,
              ElementsAre(AllOf(HasSubstr("model 'm1'"), HasSubstr("merged as it is stored"))));
}

TEST_F(TiesTest, WhereTheConfigIsSilentTheClassDecides) {
  const auto untied = Align({Ends(1, 1, kSilent), Ends(2, 2, kSilent)});
  ASSERT_TRUE(untied.ok()) << untied.status();
  EXPECT_THAT(Names(*untied), ElementsAre(kEmbedding, kHead)) << "qwen2 does not tie by itself";
  constexpr char kGemma[] = R"({"model_type": "gemma2"})";
  const auto tied = Align({Ends(1, 1, kGemma), Ends(2, 2, kGemma)});
  ASSERT_TRUE(tied.ok()) << tied.status();
  EXPECT_THAT(Names(*tied), ElementsAre(kEmbedding));
  EXPECT_FALSE(tied->tie_word_embeddings.has_value());
  // Of a class that is not known here, equal bytes tie, and the output says so.
  constexpr char kOther[] = R"({"model_type": "of tomorrow"})";
  const auto equal = Align({Ends(1, 1, kOther), Ends(2, 2, kOther)});
  ASSERT_TRUE(equal.ok()) << equal.status();
  EXPECT_THAT(Names(*equal), ElementsAre(kEmbedding));
  EXPECT_EQ(equal->tie_word_embeddings, true);
  const auto other = Align({Ends(1, 2, kOther), Ends(2, 2, kOther)});
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_THAT(Names(*other), ElementsAre(kEmbedding, kHead));
  EXPECT_FALSE(other->tie_word_embeddings.has_value());
  EXPECT_THAT(other->warnings, IsEmpty());
}

TEST_F(TiesTest, FamiliesAreKnownByTheirNames) {
  struct Family {
    const char* type;
    std::vector<std::string> names;  // the one that save_pretrained keeps first
  };
  const Family families[] = {
      {"t5",
       {"shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", kHead}},
      {"bart",
       {"model.shared.weight", "model.encoder.embed_tokens.weight",
        "model.decoder.embed_tokens.weight", kHead}},
      {"led",
       {"led.shared.weight", "led.encoder.embed_tokens.weight", "led.decoder.embed_tokens.weight",
        kHead}},
      {"marian", {"model.decoder.embed_tokens.weight", kHead}},
      {"bert", {"bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"}},
      {"roberta", {"roberta.embeddings.word_embeddings.weight", "lm_head.decoder.weight"}},
      {"albert", {"albert.embeddings.word_embeddings.weight", "predictions.decoder.weight"}},
      {"electra", {"electra.embeddings.word_embeddings.weight", "generator_lm_head.weight"}},
      {"distilbert", {"distilbert.embeddings.word_embeddings.weight", "vocab_projector.weight"}},
      {"modernbert", {"model.embeddings.tok_embeddings.weight", "decoder.weight"}},
      {"xlnet", {"transformer.word_embedding.weight", "lm_loss.weight"}},
      {"xlm", {"transformer.embeddings.weight", "pred_layer.proj.weight"}},
      {"gpt2", {"transformer.wte.weight", kHead}},
      {"bloom", {"transformer.word_embeddings.weight", kHead}},
      {"falcon", {"transformer.word_embeddings.weight", kHead}},
      {"mpt", {"transformer.wte.weight", kHead}},
      {"opt", {"model.decoder.embed_tokens.weight", kHead}},
      {"whisper", {"model.decoder.embed_tokens.weight", "proj_out.weight"}},
      {"mamba", {"backbone.embeddings.weight", kHead}},
      {"gemma3", {"model.language_model.embed_tokens.weight", kHead}},
      {"gemma3", {"language_model.model.embed_tokens.weight", "language_model.lm_head.weight"}},
  };
  for (const Family& family : families) {
    const auto model = [&](int value, size_t count) {
      std::vector<TinyTensor> tensors;
      for (size_t i = 0; i < count; ++i) tensors.push_back(Matrix(family.names[i], value));
      return Model(std::move(tensors), absl::StrCat("{\"model_type\": \"", family.type, "\"}"));
    };
    for (const size_t count : {size_t{1}, family.names.size()}) {
      const auto alignment = Align({model(1, family.names.size()), model(2, count)});
      ASSERT_TRUE(alignment.ok()) << family.type << ": " << alignment.status();
      EXPECT_THAT(Names(*alignment), ElementsAre(family.names[0])) << family.type;
      EXPECT_EQ(alignment->warnings.size(), family.names.size() - 1) << family.type;
    }
  }
}

TEST_F(TiesTest, FamiliesThatDoNotTieByThemselvesTieWhereTheConfigSaysSo) {
  const auto model = [&](const std::string& tie) {
    return Model({Matrix("gpt_neox.embed_in.weight", 1), Matrix("embed_out.weight", 1)},
                 absl::StrCat("{\"model_type\": \"gpt_neox\"", tie, "}"));
  };
  const auto silent = Align({model(""), model("")});
  ASSERT_TRUE(silent.ok());
  EXPECT_THAT(Names(*silent), ElementsAre("gpt_neox.embed_in.weight", "embed_out.weight"));
  const auto tied = Align({model(", \"tie_word_embeddings\": true"), model("")});
  ASSERT_TRUE(tied.ok()) << tied.status();
  EXPECT_THAT(Names(*tied), ElementsAre("gpt_neox.embed_in.weight"));
}

TEST_F(TiesTest, AClassThatKeepsItsHeadApartKeepsItsOtherTies) {
  const auto model = [](int value, int head) {
    return Model({Matrix("luke.embeddings.word_embeddings.weight", value),
                  Matrix("lm_head.decoder.weight", head)},
                 R"({"model_type": "luke", "tie_word_embeddings": true})");
  };
  for (const int head : {1, 2}) {
    const auto alignment = Align({model(1, head), model(3, 4)});
    ASSERT_TRUE(alignment.ok()) << alignment.status();
    EXPECT_THAT(Names(*alignment), UnorderedElementsAre("luke.embeddings.word_embeddings.weight",
                                                        "lm_head.decoder.weight"));
    EXPECT_FALSE(alignment->tie_word_embeddings.has_value());
    EXPECT_THAT(alignment->warnings, IsEmpty());
  }
}

TEST_F(TiesTest, ABiasThatHeadAndDecoderShareIsOne) {
  const auto model = [](int value) {
    return Model({Matrix("cls.predictions.bias", value, {8}),
                  Matrix("cls.predictions.decoder.bias", value, {8})},
                 R"({"model_type": "bert"})");
  };
  const auto alignment = Align({model(1), model(2)});
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_THAT(Names(*alignment), ElementsAre("cls.predictions.bias"));
}

TEST_F(TiesTest, T5WithAHeadOfItsOwnStillSharesItsEmbeddings) {
  const auto model = [](int value) {
    return Model({Matrix("shared.weight", value), Matrix("encoder.embed_tokens.weight", value),
                  Matrix(kHead, value + 7)},
                 R"({"model_type": "t5", "tie_word_embeddings": false})");
  };
  const auto alignment = Align({model(1), model(2)});
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_THAT(Names(*alignment), UnorderedElementsAre("shared.weight", kHead));
  EXPECT_FALSE(alignment->tie_word_embeddings.has_value());
}

TEST_F(TiesTest, HeadsOfLayersForMultiTokenPredictionAreTheirOwn) {
  const auto model = [](int value) {
    return Model({Matrix(kEmbedding, value), Matrix("mtp.embed_tokens.weight", value),
                  Matrix("mtp.lm_head.weight", value + 5)},
                 kTied);
  };
  const auto alignment = Align({model(1), model(2)});
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_THAT(Names(*alignment),
              ElementsAre(kEmbedding, "mtp.embed_tokens.weight", "mtp.lm_head.weight"));
  EXPECT_FALSE(alignment->tie_word_embeddings.has_value());
  EXPECT_THAT(alignment->warnings, IsEmpty());
}

TEST_F(TiesTest, AVisionTowersEmbeddingIsNoTextHeads) {
  const auto model = [](int value) {
    return Model({Matrix("model.visual.embed_tokens.weight", value), Matrix(kHead, value)},
                 R"({"model_type": "gemma3"})");
  };
  const auto alignment = Align({model(1), model(2)});
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_THAT(Names(*alignment), ElementsAre("model.visual.embed_tokens.weight", kHead));
}

// --- Slices.

constexpr char kGenerates[] = R"({"model_type": "qwen2", "tie_word_embeddings": true,
  "architectures": ["Qwen2ForCausalLM"]})";

TEST_F(TiesTest, SlicesWithTheSameEndsKeepTheTie) {
  const std::vector<LayerSlice> slices = {
      {{{0, 0}, {1, 0}}, 1}, {{{1, 0}}, 1}, {{{0, 1}, {1, 1}}, 1}};
  const auto alignment = Align({Ends(1, 1), Ends(2, 0)}, slices);
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_THAT(Names(*alignment), ElementsAre(kEmbedding));
  EXPECT_FALSE(alignment->tie_word_embeddings.has_value());
}

TEST_F(TiesTest, SlicesWithOtherEndsUntie) {
  const std::vector<LayerSlice> slices = {{{{0, 0}}, 1}, {{{1, 1}}, 1}};
  for (const auto& models : {std::vector{Ends(1, 1, kGenerates), Ends(2, 2, kGenerates)},
                             std::vector{Ends(1, 0, kGenerates), Ends(2, 0, kGenerates)}}) {
    const auto alignment = Align(models, slices);
    ASSERT_TRUE(alignment.ok()) << alignment.status();
    EXPECT_THAT(Names(*alignment), ElementsAre(kEmbedding, kHead));
    EXPECT_EQ(alignment->tie_word_embeddings, false);
    EXPECT_THAT(alignment->warnings, ElementsAre(AllOf(HasSubstr("other models"),
                                                       HasSubstr("tie_word_embeddings: false"))));
    EXPECT_THAT(Stored(*alignment, kEmbedding), ElementsAre("0:model.embed_tokens.weight"));
    EXPECT_EQ(Stored(*alignment, kHead).at(0).substr(0, 2), "1:");
  }
}

TEST_F(TiesTest, SlicesOfAReferenceThatStoresItsHeadAloneUntieToo) {
  const std::vector<LayerSlice> slices = {{{{0, 0}}, 1}, {{{1, 1}}, 1}};
  const auto alignment = Align({Ends(0, 1), Ends(2, 0)}, slices);
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_THAT(Names(*alignment), ElementsAre(kEmbedding, kHead));
  EXPECT_THAT(Stored(*alignment, kEmbedding), ElementsAre("0:lm_head.weight"));
  EXPECT_THAT(Stored(*alignment, kHead), ElementsAre("1:model.embed_tokens.weight"));
  EXPECT_EQ(alignment->tie_word_embeddings, false);
}

TEST_F(TiesTest, SlicesThatUntieCallTheHeadAsItsClassDoes) {
  const std::vector<LayerSlice> slices = {{{{0, 0}}, 1}, {{{1, 1}}, 1}};
  const auto model = [](int value) {
    return Model({Matrix("model.embeddings.tok_embeddings.weight", value)},
                 R"({"model_type": "modernbert-decoder", "tie_word_embeddings": true,
                     "architectures": ["ModernBertDecoderForCausalLM"]})");
  };
  const auto alignment = Align({model(1), model(2)}, slices);
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_THAT(Names(*alignment),
              UnorderedElementsAre("model.embeddings.tok_embeddings.weight", "decoder.weight"));
}

TEST_F(TiesTest, SlicesWithOtherParametersAtTheirEndsUntie) {
  const std::vector<LayerSlice> slices = {{{{0, 0}, {1, 0}}, 1}, {{{0, 1}, {1, 1}}, 1}};
  AlignOptions options;
  options.same_at_both_ends = [](const std::string& name) {
    EXPECT_EQ(name, kEmbedding);
    return false;
  };
  const auto alignment = Align({Ends(1, 1), Ends(2, 2)}, slices, options);
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_THAT(Names(*alignment), ElementsAre(kEmbedding, kHead));
  EXPECT_THAT(alignment->warnings, ElementsAre(HasSubstr("other parameters")));
}

}  // namespace
}  // namespace merganser
