// Models whose tensors have other names than the reference's: what is found, what is said, and
// what `rename: auto` makes of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/checkpoint/alignment.h"
#include "common/checkpoint/renamed_model.h"
#include "tests/common/checkpoint/stage.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

using Rename = std::function<std::string(const std::string&)>;
using Tensors = std::vector<TinyTensor>;

TinyTensor Of(const std::string& name, Shape shape) {
  return {name, DType::kF32, std::move(shape)};
}

Tensors Llama(const std::string& prefix = "model.", bool head = true) {
  Tensors tensors = {Of(prefix + "embed_tokens.weight", {10, 4})};
  for (int i = 0; i < 3; ++i) {
    const std::string layer = absl::StrCat(prefix, "layers.", i, ".");
    tensors.push_back(Of(layer + "self_attn.q_proj.weight", {4, 4}));
    tensors.push_back(Of(layer + "self_attn.o_proj.weight", {4, 4}));
    tensors.push_back(Of(layer + "mlp.up_proj.weight", {6, 4}));
    tensors.push_back(Of(layer + "mlp.down_proj.weight", {4, 6}));
    tensors.push_back(Of(layer + "input_layernorm.weight", {4}));
  }
  tensors.push_back(Of(prefix + "norm.weight", {4}));
  if (head) tensors.push_back(Of("lm_head.weight", {10, 4}));
  return tensors;
}

Tensors Bert(const std::string& prefix, const std::string& weight = "weight",
             const std::string& bias = "bias") {
  Tensors tensors = {Of(prefix + "embeddings.word_embeddings.weight", {10, 4}),
                     Of(prefix + "embeddings.LayerNorm." + weight, {4}),
                     Of(prefix + "embeddings.LayerNorm." + bias, {4})};
  for (int i = 0; i < 2; ++i) {
    const std::string layer = absl::StrCat(prefix, "encoder.layer.", i, ".");
    tensors.push_back(Of(layer + "attention.self.query.weight", {4, 4}));
    tensors.push_back(Of(layer + "attention.output.LayerNorm." + weight, {4}));
    tensors.push_back(Of(layer + "attention.output.LayerNorm." + bias, {4}));
    tensors.push_back(Of(layer + "output.dense.weight", {4, 6}));
  }
  return tensors;
}

Tensors Renamed(Tensors tensors, const Rename& rename) {
  for (TinyTensor& tensor : tensors) tensor.name = rename(tensor.name);
  return tensors;
}

Rename Replace(const std::string& from, const std::string& to) {
  return [=](const std::string& name) { return absl::StrReplaceAll(name, {{from, to}}); };
}
Rename Before(const std::string& prefix) {
  return [=](const std::string& name) { return prefix + name; };
}

class RenameTest : public ::testing::Test {
 protected:
  std::shared_ptr<const Checkpoint> Make(const std::string& name, const Tensors& tensors,
                                         uint64_t seed = 1) {
    TinyCheckpoint tiny;
    tiny.tensors = tensors;
    tiny.seed = seed;
    Checkpoint made = stage_.Make(absl::StrCat(name, ++count_), tiny);
    made.given = name;
    return std::make_shared<const Checkpoint>(std::move(made));
  }

  // What is said of a base and an expert x without `rename`.
  std::string Refusal(const Tensors& base, const Tensors& expert) {
    models_ = {Make("base", base), Make("x", expert)};
    const absl::Status status = Align().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    const std::string message(status.message());
    EXPECT_EQ(message.find('\n'), std::string::npos);
    return message;
  }
  absl::StatusOr<Alignment> Align() {
    std::vector<const Checkpoint*> pointers;
    for (const auto& model : models_) pointers.push_back(model.get());
    return AlignModels(pointers);
  }
  // The same with `rename: auto`: the expert's tensors are called as the base's.
  std::vector<std::string> Carried(const Tensors& base, const Tensors& expert) {
    models_ = {Make("base", base), Make("x", expert)};
    stored_ = models_[1];
    const auto notes = RenameModels(models_, 0);
    EXPECT_TRUE(notes.ok()) << notes.status();
    if (!notes.ok()) return {};
    const auto alignment = Align();
    EXPECT_TRUE(alignment.ok()) << alignment.status();
    return *notes;
  }
  // Each of the base's tensors is the expert's one that `rename` makes of its name.
  void ExpectTakenAs(const Rename& rename) {
    for (const CheckpointTensor& wanted : models_[0]->tensors) {
      const CheckpointTensor* got = models_[1]->Find(wanted.name);
      const CheckpointTensor* was = stored_->Find(rename(wanted.name));
      ASSERT_NE(got, nullptr) << wanted.name;
      ASSERT_NE(was, nullptr) << wanted.name;
      EXPECT_EQ(got->offset, was->offset) << wanted.name;
      EXPECT_EQ(got->shape, was->shape);
      EXPECT_EQ(got->stored.empty() ? got->name : got->stored, was->name);
    }
  }
  std::string Unclear(const Tensors& base, const Tensors& expert) {
    models_ = {Make("base", base), Make("x", expert)};
    const absl::Status status = RenameModels(models_, 0).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    // Without `rename` the same is said, and `rename: auto` not advised.
    const std::string refusal = Refusal(base, expert);
    EXPECT_THAT(refusal, Not(HasSubstr("rename: auto")));
    return std::string(status.message());
  }

  Stage stage_;
  int count_ = 0;
  std::vector<std::shared_ptr<const Checkpoint>> models_;
  std::shared_ptr<const Checkpoint> stored_;
};

TEST_F(RenameTest, PrefixesOfAnyNameAreFoundSaidAndCarriedOut) {
  for (const char* prefix :
       {"pretrained_model.", "policy.", "actor.", "module._orig_mod.", "base_model.model.",
        "_fsdp_wrapped_module.", "model.", "0.auto_model.", "never_heard_of."}) {
    SCOPED_TRACE(prefix);
    const Rename rename = Before(prefix);
    EXPECT_THAT(Refusal(Llama(), Renamed(Llama(), rename)),
                AllOf(HasSubstr("model 'x'"), HasSubstr("18 tensors begin with"),
                      HasSubstr(absl::StrCat("'", prefix, "'")), HasSubstr("model 'base'"),
                      HasSubstr("`rename: auto`"),
                      HasSubstr(absl::StrCat("'", prefix,
                                             "model.embed_tokens.weight' against "
                                             "'model.embed_tokens.weight'"))));
    EXPECT_THAT(Carried(Llama(), Renamed(Llama(), rename)),
                ElementsAre(AllOf(HasSubstr("model 'x': taken under the names of model 'base'"),
                                  HasSubstr("18 tensors"))));
    ExpectTakenAs(rename);
    // The other way round it is the base that has it.
    EXPECT_THAT(Refusal(Renamed(Llama(), rename), Llama()),
                AllOf(HasSubstr("18 tensors of model 'base' begin with"), HasSubstr(prefix)));
    EXPECT_THAT(Carried(Renamed(Llama(), rename), Llama()), testing::SizeIs(1));
    for (const CheckpointTensor& wanted : models_[0]->tensors) {
      EXPECT_NE(models_[1]->Find(wanted.name), nullptr) << wanted.name;
    }
  }
}

TEST_F(RenameTest, WrappersWithinNames) {
  const Rename checkpointed = Replace("mlp.", "_checkpoint_wrapped_module.mlp.");
  EXPECT_THAT(Refusal(Llama(), Renamed(Llama(), checkpointed)),
              AllOf(HasSubstr("6 tensors have a wrapper '_checkpoint_wrapped_module' within"),
                    HasSubstr("activation checkpointing")));
  Carried(Llama(), Renamed(Llama(), checkpointed));
  ExpectTakenAs(checkpointed);
  // In some layers alone.
  const Rename some = Replace("layers.1.", "layers.1._orig_mod.");
  EXPECT_THAT(Refusal(Llama(), Renamed(Llama(), some)),
              AllOf(HasSubstr("5 tensors have a wrapper '_orig_mod'"), HasSubstr("torch.compile")));
  Carried(Llama(), Renamed(Llama(), some));
  ExpectTakenAs(some);
  // Around every single layer.
  const Rename single = Replace("_proj.", "_proj._orig_mod.");
  EXPECT_THAT(Refusal(Llama(), Renamed(Llama(), single)),
              HasSubstr("12 tensors have a wrapper '_orig_mod'"));
  Carried(Llama(), Renamed(Llama(), single));
  ExpectTakenAs(single);
  EXPECT_THAT(Carried(Renamed(Llama(), single), Llama()), testing::SizeIs(1));
  // Two, one in the other, behind a prefix.
  const Rename nested = [&](const std::string& name) {
    return "_fsdp_wrapped_module." +
           absl::StrReplaceAll(name, {{"layers.0.", "layers.0._fsdp_wrapped_module."},
                                      {"layers.1.", "layers.1._fsdp_wrapped_module."},
                                      {"layers.2.", "layers.2._fsdp_wrapped_module."},
                                      {"mlp.", "_checkpoint_wrapped_module.mlp."}});
  };
  EXPECT_THAT(Refusal(Llama(), Renamed(Llama(), nested)), HasSubstr("`rename: auto`"));
  Carried(Llama(), Renamed(Llama(), nested));
  ExpectTakenAs(nested);
  // And of the base.
  EXPECT_THAT(Refusal(Renamed(Llama(), checkpointed), Llama()),
              HasSubstr("tensors of model 'base' have a wrapper '_checkpoint_wrapped_module'"));
  EXPECT_THAT(Carried(Renamed(Llama(), checkpointed), Llama()), testing::SizeIs(1));
}

TEST_F(RenameTest, OlderNamesOfNormsWithAndWithoutAPrefix) {
  EXPECT_THAT(Refusal(Bert(""), Bert("", "gamma", "beta")),
              AllOf(HasSubstr("'gamma', expected 'weight'"), HasSubstr("'beta', expected 'bias'")));
  EXPECT_THAT(Refusal(Bert("bert.", "gamma", "beta"), Bert("bert.")),
              HasSubstr("'weight', expected 'gamma'"));
  const Rename both = [](const std::string& name) {
    return "bert." + absl::StrReplaceAll(name, {{"LayerNorm.weight", "LayerNorm.gamma"},
                                                {"LayerNorm.bias", "LayerNorm.beta"}});
  };
  Carried(Bert(""), Bert("bert.", "gamma", "beta"));
  ExpectTakenAs(both);
}

TEST_F(RenameTest, OtherNamesOfTheSameComponents) {
  const Rename other = [](const std::string& name) {
    return absl::StrReplaceAll(name,
                               {{"model.layers", "transformer.h"}, {"model.", "transformer."}});
  };
  EXPECT_THAT(Refusal(Llama(), Renamed(Llama(), other)),
              AllOf(HasSubstr("15 tensors begin with 'transformer.h.', expected 'model.layers.'"),
                    HasSubstr("2 tensors begin with 'transformer.', expected 'model.'")));
  Carried(Llama(), Renamed(Llama(), other));
  ExpectTakenAs(other);
  const Rename within = Replace("self_attn", "attention");
  Carried(Llama(), Renamed(Llama(), within));
  ExpectTakenAs(within);
}

TEST_F(RenameTest, OldAndNewLayoutsOfMultimodalModels) {
  const auto visual = [](Tensors tensors, const std::string& prefix) {
    for (int i = 0; i < 2; ++i) {
      tensors.push_back(Of(absl::StrCat(prefix, "blocks.", i, ".attn.qkv.weight"), {12, 4}));
      tensors.push_back(Of(absl::StrCat(prefix, "blocks.", i, ".mlp.down_proj.weight"), {4, 6}));
    }
    tensors.push_back(Of(prefix + "patch_embed.proj.weight", {4, 3, 2, 2}));
    return tensors;
  };
  const Tensors now = visual(Llama("model.language_model."), "model.visual.");
  const Tensors once = visual(Llama("model."), "visual.");
  EXPECT_THAT(Refusal(now, once),
              AllOf(HasSubstr("17 tensors begin with 'model.', expected 'model.language_model.'"),
                    HasSubstr("5 tensors of model 'base' begin with 'model.'")));
  Carried(now, once);
  ExpectTakenAs([](const std::string& name) {
    return absl::StrReplaceAll(name,
                               {{"model.language_model.", "model."}, {"model.visual.", "visual."}});
  });
  const Tensors llava = visual(Llama("language_model.model.", false), "vision_tower.");
  const Tensors later = visual(Llama("model.language_model.", false), "model.vision_tower.");
  Carried(later, llava);
  ExpectTakenAs([](const std::string& name) {
    return absl::StrReplaceAll(name, {{"model.language_model.", "language_model.model."},
                                      {"model.vision_tower.", "vision_tower."}});
  });
}

TEST_F(RenameTest, WhatTheBaseLacksLosesItsPrefixToo) {
  Tensors expert = Renamed(Llama("model.", true), Before("policy."));
  expert.push_back(Of("v_head.summary.weight", {1, 4}));
  models_ = {Make("base", Llama("model.", false)), Make("x", expert)};
  ASSERT_TRUE(RenameModels(models_, 0).ok());
  EXPECT_NE(models_[1]->Find("lm_head.weight"), nullptr);
  EXPECT_NE(models_[1]->Find("v_head.summary.weight"), nullptr);
  // So that it is known for a head of its own, and not dropped.
  EXPECT_THAT(std::string(Align().status().message()), HasSubstr("is a head of its own"));
}

TEST_F(RenameTest, ModelsThatFitAreLeftAlone) {
  models_ = {Make("base", Llama()), Make("x", Llama())};
  const auto before = models_[1];
  const auto notes = RenameModels(models_, 0);
  ASSERT_TRUE(notes.ok());
  EXPECT_THAT(*notes, IsEmpty());
  EXPECT_EQ(models_[1], before);
  // Nor is a tensor taken for another because one lacks it and has one that ends alike.
  Tensors base = Llama(), other = Llama();
  base.push_back(Of("mtp.norm.weight", {4}));
  other.push_back(Of("next.norm.weight", {4}));
  models_ = {Make("base", base), Make("x", other)};
  EXPECT_THAT(*RenameModels(models_, 0), IsEmpty());
  // What loading computes is no matter of names.
  Tensors rotary = Llama(), moved = Llama();
  for (int i = 0; i < 3; ++i) {
    rotary.push_back(Of(absl::StrCat("model.layers.", i, ".a.rotary_emb.inv_freq"), {2}));
    moved.push_back(Of(absl::StrCat("model.layers.", i, ".b.rotary_emb.inv_freq"), {2}));
  }
  models_ = {Make("base", rotary), Make("x", moved)};
  EXPECT_THAT(*RenameModels(models_, 0), IsEmpty());
  EXPECT_TRUE(Align().ok());
}

TEST_F(RenameTest, ModelsThatWereWrappedAlikeAreToldOfTogether) {
  const Tensors wrapped = Renamed(Llama(), Before("policy."));
  models_ = {Make("base", Llama()), Make("x", wrapped), Make("y", wrapped), Make("z", Llama())};
  const auto notes = RenameModels(models_, 0);
  ASSERT_TRUE(notes.ok());
  EXPECT_THAT(*notes, ElementsAre(HasSubstr("models 'x', 'y': taken under")));
}

TEST_F(RenameTest, TwoPartsOfAModelThatFitAlikeAreRefusedByName) {
  Tensors both = Renamed(Llama(), Before("actor."));
  for (const TinyTensor& tensor : Renamed(Llama("model.", false), Before("critic."))) {
    both.push_back(tensor);
  }
  EXPECT_THAT(Unclear(Llama(), both), AllOf(HasSubstr("model 'x'"), HasSubstr("two renamings fit"),
                                            HasSubstr("'actor.'"), HasSubstr("'critic.'")));
  Tensors twins = Llama("left.", false);
  for (const TinyTensor& tensor : Llama("right.", false)) twins.push_back(tensor);
  EXPECT_THAT(Unclear(twins, Llama("", false)),
              AllOf(HasSubstr("two renamings fit"), HasSubstr("'left.'"), HasSubstr("'right.'")));
}

TEST_F(RenameTest, TwoNamesThatLandOnOneAreRefusedByName) {
  Tensors base = Llama();
  Tensors expert = Renamed(Llama(), Before("policy."));
  // One of them is there without the prefix as well.
  for (TinyTensor& tensor : expert) {
    if (tensor.name == "policy.model.layers.0.mlp.up_proj.weight") {
      expert.push_back(Of("model.layers.0.mlp.up_proj.weight", {6, 4}));
      break;
    }
  }
  EXPECT_THAT(Unclear(base, expert), AllOf(HasSubstr("two names land on one"),
                                           HasSubstr("'policy.model.layers.0.mlp.up_proj.weight'"),
                                           HasSubstr("'model.layers.0.mlp.up_proj.weight'")));
}

TEST_F(RenameTest, OtherShapesUnderAPrefixAreNoRenaming) {
  EXPECT_THAT(Refusal(Llama(), Renamed(Renamed(Llama(), Before("policy.")),
                                       [](const std::string& name) { return name + "_v2"; })),
              HasSubstr("is missing"));
  // One tensor of another shape is named as it is stored.
  Tensors expert = Renamed(Llama(), Before("policy."));
  expert[1].shape = {2, 8};
  models_ = {Make("base", Llama()), Make("x", expert)};
  ASSERT_TRUE(RenameModels(models_, 0).ok());
  EXPECT_THAT(
      std::string(Align().status().message()),
      HasSubstr("(stored as 'policy.model.layers.0.self_attn.q_proj.weight'): found shape"));
}

TEST_F(RenameTest, ManyNamesWithoutNumbersTakeNoPairs) {
  Tensors base, expert;
  for (int i = 0; i < 3000; ++i) {
    base.push_back(Of(absl::StrCat("part", i, ".norm.weight"), {1}));
    expert.push_back(Of(absl::StrCat("policy.part", i, ".norm.weight"), {1}));
  }
  EXPECT_THAT(Carried(base, expert), ElementsAre(HasSubstr("3000 tensors begin with 'policy.'")));
}

}  // namespace
}  // namespace merganser
