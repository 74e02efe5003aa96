// Models that share whole parts with the base and no more: what is said without
// `allow_partial`, what is merged with it, and what is refused for damaged all the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/alignment.h"
#include "common/checkpoint/renamed_model.h"
#include "tests/common/checkpoint/stage.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

using Tensors = std::vector<TinyTensor>;

TinyTensor Of(const std::string& name, Shape shape) {
  return {name, DType::kF32, std::move(shape)};
}

struct Kind {
  Tensors tensors;
  std::string type;
  std::string architecture;
};

void Add(Tensors& tensors, const Tensors& more) {
  tensors.insert(tensors.end(), more.begin(), more.end());
}

Tensors Decoder(const std::string& prefix, int layers = 2) {
  Tensors tensors = {Of(prefix + "embed_tokens.weight", {10, 4})};
  for (int i = 0; i < layers; ++i) {
    const std::string layer = absl::StrCat(prefix, "layers.", i, ".");
    Add(tensors,
        {Of(layer + "self_attn.q_proj.weight", {4, 4}), Of(layer + "mlp.up.weight", {6, 4})});
  }
  tensors.push_back(Of(prefix + "norm.weight", {4}));
  return tensors;
}

Tensors Tower(const std::string& prefix, int layers = 4) {
  Tensors tensors = {Of(prefix + "patch_embed.proj.weight", {8, 3}),
                     Of(prefix + "norm.weight", {8})};
  for (int i = 0; i < layers; ++i) {
    const std::string layer = absl::StrCat(prefix, "blocks.", i, ".");
    Add(tensors, {Of(layer + "attn.qkv.weight", {24, 8}), Of(layer + "mlp.fc1.weight", {9, 8})});
  }
  Add(tensors,
      {Of(prefix + "merger.mlp.0.weight", {8, 8}), Of(prefix + "merger.mlp.2.weight", {4, 8})});
  return tensors;
}

Kind Text(const std::string& prefix = "model.") {
  Kind kind{Decoder(prefix), "qwen2", "Qwen2ForCausalLM"};
  kind.tensors.push_back(Of("lm_head.weight", {10, 4}));
  return kind;
}

Kind Multimodal() {
  Kind kind{Tower("visual."), "qwen2_vl", "Qwen2VLForConditionalGeneration"};
  Add(kind.tensors, Decoder("model."));
  kind.tensors.push_back(Of("lm_head.weight", {10, 4}));
  return kind;
}

Tensors Bert(const std::string& prefix = "bert.") {
  Tensors tensors = {Of(prefix + "embeddings.word_embeddings.weight", {10, 4}),
                     Of(prefix + "embeddings.LayerNorm.weight", {4})};
  for (int i = 0; i < 2; ++i) {
    const std::string layer = absl::StrCat(prefix, "encoder.layer.", i, ".");
    Add(tensors, {Of(layer + "attention.self.query.weight", {4, 4}),
                  Of(layer + "output.LayerNorm.weight", {4})});
  }
  return tensors;
}

Kind Masked() {
  Kind kind{Bert(), "bert", "BertForMaskedLM"};
  Add(kind.tensors,
      {Of("cls.predictions.bias", {10}), Of("cls.predictions.transform.dense.weight", {4, 4}),
       Of("cls.predictions.transform.LayerNorm.weight", {4})});
  return kind;
}

Kind Classifier() {
  Kind kind{Bert(), "bert", "BertForSequenceClassification"};
  Add(kind.tensors, {Of("bert.pooler.dense.weight", {4, 4}), Of("bert.pooler.dense.bias", {4}),
                     Of("classifier.weight", {2, 4}), Of("classifier.bias", {2})});
  return kind;
}

Kind Clip() {
  Kind kind{{}, "clip", "CLIPModel"};
  for (const std::string part : {"text", "vision"}) {
    const std::string prefix = part + "_model.";
    Add(kind.tensors, {Of(prefix + "embeddings.position_embedding.weight", {6, 4}),
                       Of(prefix + "post_layernorm.weight", {4}),
                       Of(prefix + "encoder.layers.0.mlp.fc1.weight", {8, 4}),
                       Of(prefix + "encoder.layers.1.mlp.fc1.weight", {8, 4}),
                       Of(part + "_projection.weight", {4, 4})});
  }
  kind.tensors.push_back(Of("logit_scale", {}));
  return kind;
}

Kind Without(Kind kind, const std::string& what) {
  std::erase_if(kind.tensors, [&](const TinyTensor& tensor) {
    return tensor.name.find(what) != std::string::npos;
  });
  return kind;
}

class PartialModelsTest : public ::testing::Test {
 protected:
  // Models are called base, e1, e2, ...
  absl::StatusOr<Alignment> Align(const std::vector<Kind>& kinds, bool allow, bool is_base = true,
                                  bool rename = false) {
    models_.clear();
    for (size_t i = 0; i < kinds.size(); ++i) {
      TinyCheckpoint tiny;
      tiny.tensors = kinds[i].tensors;
      tiny.config = absl::StrCat("{\"model_type\": \"", kinds[i].type, "\", \"architectures\": [\"",
                                 kinds[i].architecture, "\"], \"tie_word_embeddings\": false}");
      const std::string name = i == 0 ? "base" : absl::StrCat("e", i);
      Checkpoint made = stage_.Make(absl::StrCat(name, "-", ++count_), tiny);
      made.given = name;
      models_.push_back(std::make_shared<const Checkpoint>(std::move(made)));
    }
    if (rename) {
      EXPECT_TRUE(RenameModels(models_, 0).ok());
    }
    std::vector<const Checkpoint*> pointers;
    for (const auto& model : models_) pointers.push_back(model.get());
    AlignOptions options;
    options.is_base = is_base;
    options.allow_partial = allow;
    return AlignModels(pointers, {}, options);
  }
  std::string Refusal(const std::vector<Kind>& kinds, bool allow, bool is_base = true) {
    const auto alignment = Align(kinds, allow, is_base);
    EXPECT_EQ(alignment.status().code(), absl::StatusCode::kInvalidArgument) << alignment.status();
    return std::string(alignment.status().message());
  }
  // Names that are copied from the base.
  static std::vector<std::string> Copied(const Alignment& alignment) {
    std::vector<std::string> names;
    for (const AlignedTensor& tensor : alignment.tensors) {
      if (tensor.copied) names.push_back(tensor.name);
    }
    return names;
  }

  Stage stage_;
  int count_ = 0;
  std::vector<std::shared_ptr<const Checkpoint>> models_;
};

TEST_F(PartialModelsTest, ATextExpertOfAMultimodalBase) {
  EXPECT_THAT(Refusal({Multimodal(), Text()}, false),
              AllOf(HasSubstr("model_type is 'qwen2', expected 'qwen2_vl'"),
                    HasSubstr("they share 7 of 19 tensors of model 'base'"),
                    HasSubstr("model 'e1' lacks 12: 4 'visual.blocks.*.attn.qkv.weight'"),
                    HasSubstr("`allow_partial: true`"), Not(HasSubstr("rename"))));
  const auto alignment = Align({Multimodal(), Text()}, true);
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_EQ(alignment->tensors.size(), 19u);
  EXPECT_EQ(Copied(*alignment).size(), 12u);
  EXPECT_THAT(Copied(*alignment), Contains("visual.merger.mlp.2.weight"));
  for (const AlignedTensor& tensor : alignment->tensors) {
    EXPECT_EQ(tensor.sources.size(), tensor.copied ? 1u : 2u) << tensor.name;
  }
  EXPECT_THAT(alignment->warnings,
              ElementsAre(AllOf(HasSubstr("model 'e1'"), HasSubstr("'qwen2_vl'"),
                                HasSubstr("`allow_partial`")),
                          HasSubstr("copied 12 tensors bit for bit from model 'base'")));
}

TEST_F(PartialModelsTest, BesideOneThatHasAllItCountsAsUnchanged) {
  const auto alignment = Align({Multimodal(), Text(), Multimodal()}, true);
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_THAT(Copied(*alignment), IsEmpty());
  const AlignedTensor& tensor = alignment->tensors[0];
  EXPECT_EQ(tensor.name, "visual.patch_embed.proj.weight");
  ASSERT_EQ(tensor.sources.size(), 3u);
  EXPECT_EQ(tensor.sources[1].model, 0u);
  EXPECT_EQ(tensor.sources[1].stands_for, 1u);
  EXPECT_EQ(tensor.sources[2].model, 2u);
  // Without a base there is nothing that it is unchanged from.
  EXPECT_THAT(Refusal({Multimodal(), Text(), Multimodal()}, true, false), HasSubstr("base_model"));
  EXPECT_TRUE(Align({Multimodal(), Text()}, true, false).ok());
}

TEST_F(PartialModelsTest, NamesAndPartsAreSaidTogether) {
  EXPECT_THAT(Refusal({Multimodal(), Text("language.")}, false),
              AllOf(HasSubstr("`allow_partial: true`"), HasSubstr("`rename: auto`"),
                    HasSubstr("begin with 'language.', expected 'model.'")));
  EXPECT_THAT(Refusal({Multimodal(), Text("language.")}, true), HasSubstr("`rename: auto`"));
  const auto alignment = Align({Multimodal(), Text("language.")}, true, true, true);
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_EQ(Copied(*alignment).size(), 12u);
}

TEST_F(PartialModelsTest, AMultimodalExpertOfATextBaseIsLeftOutInOneLine) {
  const auto alignment = Align({Text(), Multimodal()}, true);
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_THAT(Copied(*alignment), IsEmpty());
  EXPECT_THAT(alignment->warnings,
              ElementsAre(HasSubstr("'qwen2_vl'"),
                          AllOf(HasSubstr("model 'e1': left out 12 tensors"),
                                HasSubstr("4 'visual.blocks.*.attn.qkv.weight'"))));
}

TEST_F(PartialModelsTest, EncodersWithOtherHeads) {
  EXPECT_THAT(
      Refusal({Masked(), Classifier()}, false),
      AllOf(HasSubstr("'BertForSequenceClassification', expected 'BertForMaskedLM'"),
            HasSubstr("they share 6 of 9 tensors"), HasSubstr("lacks 3: 1 'cls.predictions.bias'"),
            HasSubstr("has 4 that the other lacks: 1 'bert.pooler.dense.bias'"),
            HasSubstr("`allow_partial: true`")));
  for (const bool reversed : {false, true}) {
    const auto alignment =
        reversed ? Align({Classifier(), Masked()}, true) : Align({Masked(), Classifier()}, true);
    ASSERT_TRUE(alignment.ok()) << alignment.status();
    EXPECT_EQ(Copied(*alignment).size(), reversed ? 4u : 3u);
  }
  const Kind bare{Bert(""), "bert", "BertModel"};
  EXPECT_THAT(Refusal({Masked(), bare}, false),
              AllOf(HasSubstr("`allow_partial: true`"), HasSubstr("`rename: auto`")));
  EXPECT_TRUE(Align({Masked(), bare}, true, true, true).ok());
  EXPECT_TRUE(Align({bare, Classifier()}, true, true, true).ok());
}

TEST_F(PartialModelsTest, ATowerOfClip) {
  Kind vision = Without(Without(Without(Clip(), "text_"), "logit"), "_projection");
  vision.architecture = "CLIPVisionModel";
  vision.type = "clip_vision_model";
  const auto alignment = Align({Clip(), vision}, true);
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_EQ(Copied(*alignment).size(), 7u);
  EXPECT_THAT(Refusal({Clip(), vision}, false), HasSubstr("they share 4 of 11 tensors"));
}

TEST_F(PartialModelsTest, AWholeTowerMayBeLackingFromAModelOfTheSameClass) {
  Kind text = Without(Multimodal(), "visual.");
  EXPECT_THAT(Refusal({Multimodal(), text}, false),
              AllOf(HasSubstr("share 7 of 19 tensors"), HasSubstr("`allow_partial: true`")));
  EXPECT_TRUE(Align({Multimodal(), text}, true).ok());
}

TEST_F(PartialModelsTest, DamagedModelsAreNoParts) {
  const Kind text = Text();
  struct Case {
    Kind base, expert;
    std::string what;
  };
  const std::vector<Case> cases = {
      // A layer, or a tensor of one.
      {Multimodal(), Without(text, "layers.1."), "'model.layers.1.self_attn.q_proj.weight'"},
      {Multimodal(), Without(text, "layers.0.mlp"), "'model.layers.0.mlp.up.weight'"},
      {Multimodal(), Without(Multimodal(), "blocks.3."), "'visual.blocks.3.attn.qkv.weight'"},
      // What layers cannot do without.
      {Multimodal(), Without(text, "embed_tokens"), "'model.embed_tokens.weight'"},
      {Multimodal(), Without(text, "norm"), "'model.norm.weight'"},
      {Multimodal(), Without(Without(Multimodal(), "blocks"), "layers.1"),
       "'visual.blocks.0.attn.qkv.weight'"},
      {Masked(), Without(Classifier(), "embeddings.LayerNorm"), "embeddings.LayerNorm"},
      {Masked(), Without(Classifier(), "word_embeddings"), "word_embeddings"},
      // A head of the same class, and one tensor of a head.
      {text, Without(text, "lm_head"), "'lm_head.weight'"},
      // All layers, but not what belongs to them.
      {Multimodal(), Without(Without(Multimodal(), "layers"), "blocks"),
       "'visual.blocks.0.attn.qkv.weight' is missing"},
      {Multimodal(), Without(text, "layers"), "no tensor of any layer"},
  };
  for (const Case& c : cases) {
    EXPECT_THAT(Refusal({c.base, c.expert}, true), HasSubstr(c.what));
    EXPECT_THAT(Refusal({c.base, c.expert}, false), Not(HasSubstr("allow_partial"))) << c.what;
  }
}

TEST_F(PartialModelsTest, ModelsOfOtherKindsThatShareNoTowerAreRefused) {
  const Kind other{Decoder("h.", 3), "gpt", "GPT"};
  Kind llama{Decoder("model."), "llama", "LlamaForCausalLM"};
  EXPECT_THAT(Refusal({Masked(), llama}, true),
              AllOf(HasSubstr("model_type is 'llama'"), HasSubstr("no tensor of any layer")));
  EXPECT_THAT(Refusal({Masked(), llama}, false), Not(HasSubstr("allow_partial")));
  // Models of one set of names are no parts of one another.
  Kind mistral = llama;
  mistral.type = "mistral";
  EXPECT_THAT(Refusal({llama, mistral}, false), Not(HasSubstr("allow_partial")));
  EXPECT_FALSE(Align({Masked(), other}, true).ok());
}

}  // namespace
}  // namespace merganser
