// Experts that the base stores one by one and an expert model packed, and the other way round.
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
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint64_t kExperts = 3, kHidden = 4, kInner = 6;

using Tensors = std::vector<TinyTensor>;

TinyTensor Of(const std::string& name, Shape shape) {
  return {name, DType::kBF16, std::move(shape)};
}

Tensors Body(const std::string& block) {
  Tensors tensors = {Of("model.embed_tokens.weight", {10, kHidden})};
  for (int i = 0; i < 2; ++i) {
    const std::string layer = absl::StrCat("model.layers.", i, ".");
    tensors.push_back(Of(layer + "self_attn.q_proj.weight", {kHidden, kHidden}));
    tensors.push_back(Of(layer + block + ".gate.weight", {kExperts, kHidden}));
  }
  return tensors;
}

struct Words {
  std::string block = "mlp", gate = "gate_proj", up = "up_proj", down = "down_proj";
};

Tensors Singles(const Words& words = {}, uint64_t experts = kExperts) {
  Tensors tensors = Body(words.block);
  for (int i = 0; i < 2; ++i) {
    for (uint64_t e = 0; e < experts; ++e) {
      const std::string expert =
          absl::StrCat("model.layers.", i, ".", words.block, ".experts.", e, ".");
      tensors.push_back(Of(expert + words.gate + ".weight", {kInner, kHidden}));
      tensors.push_back(Of(expert + words.up + ".weight", {kInner, kHidden}));
      tensors.push_back(Of(expert + words.down + ".weight", {kHidden, kInner}));
    }
  }
  return tensors;
}

Tensors Packed(const std::string& fused = "gate_up_proj", Shape gate_up = {3, 12, 4},
               Shape down = {3, 4, 6}) {
  Tensors tensors = Body("mlp");
  for (int i = 0; i < 2; ++i) {
    const std::string layer = absl::StrCat("model.layers.", i, ".mlp.experts.");
    tensors.push_back(Of(layer + fused, gate_up));
    tensors.push_back(Of(layer + "down_proj", down));
  }
  return tensors;
}

class PackedExpertsTest : public ::testing::Test {
 protected:
  void Make(const Tensors& base, const Tensors& expert) {
    models_.clear();
    for (const auto& [name, tensors] : {std::pair("base", base), std::pair("x", expert)}) {
      TinyCheckpoint tiny;
      tiny.tensors = tensors;
      Checkpoint made = stage_.Make(absl::StrCat(name, ++count_), tiny);
      made.given = name;
      models_.push_back(std::make_shared<const Checkpoint>(std::move(made)));
    }
  }
  absl::Status Align() { return AlignModels({models_[0].get(), models_[1].get()}).status(); }
  // What is said with `rename: auto`, and without it.
  std::string Refusal(const Tensors& base, const Tensors& expert) {
    Make(base, expert);
    const absl::Status without = Align();
    const absl::Status with = RenameModels(models_, 0).status();
    EXPECT_EQ(with.code(), absl::StatusCode::kInvalidArgument) << with;
    EXPECT_EQ(without.message(), with.message());
    return std::string(with.message());
  }
  // Bytes from the packed tensor's begin to the piece's.
  uint64_t Into(const CheckpointTensor& packed, const std::string& name) {
    const CheckpointTensor* piece = models_[1]->Find(name);
    EXPECT_NE(piece, nullptr) << name;
    if (piece == nullptr) return 0;
    EXPECT_EQ(piece->shape, models_[0]->Find(name)->shape);
    EXPECT_EQ(piece->size, models_[0]->Find(name)->size);
    EXPECT_EQ(piece->stored, packed.name);
    EXPECT_EQ(piece->shard, packed.shard);
    return piece->offset - packed.offset;
  }

  Stage stage_;
  int count_ = 0;
  std::vector<std::shared_ptr<const Checkpoint>> models_;
};

TEST_F(PackedExpertsTest, AreReadAsRunsOfRows) {
  Make(Singles(), Packed());
  EXPECT_THAT(std::string(Align().message()),
              AllOf(HasSubstr("4 tensors pack 18 of experts"), HasSubstr("`rename: auto`"),
                    HasSubstr("'model.layers.0.mlp.experts.gate_up_proj' against "
                              "'model.layers.0.mlp.experts.0.gate_proj.weight'")));
  const auto stored = models_[1];
  const auto notes = RenameModels(models_, 0);
  ASSERT_TRUE(notes.ok()) << notes.status();
  EXPECT_THAT(*notes, ElementsAre(HasSubstr("model 'x': taken under")));
  EXPECT_EQ(Align(), absl::OkStatus());
  const uint64_t matrix = kInner * kHidden * 2;
  const CheckpointTensor& up = *stored->Find("model.layers.1.mlp.experts.gate_up_proj");
  const CheckpointTensor& down = *stored->Find("model.layers.1.mlp.experts.down_proj");
  for (uint64_t e = 0; e < kExperts; ++e) {
    const std::string expert = absl::StrCat("model.layers.1.mlp.experts.", e, ".");
    EXPECT_EQ(Into(up, expert + "gate_proj.weight"), 2 * e * matrix);
    EXPECT_EQ(Into(up, expert + "up_proj.weight"), (2 * e + 1) * matrix);
    EXPECT_EQ(Into(down, expert + "down_proj.weight"), e * matrix);
  }
}

TEST_F(PackedExpertsTest, UnderOtherNamesToo) {
  Make(Singles({"block_sparse_moe", "w1", "w3", "w2"}), Packed());
  const auto stored = models_[1];
  const auto notes = RenameModels(models_, 0);
  ASSERT_TRUE(notes.ok()) << notes.status();
  EXPECT_EQ(Align(), absl::OkStatus());
  const CheckpointTensor& up = *stored->Find("model.layers.0.mlp.experts.gate_up_proj");
  const CheckpointTensor& down = *stored->Find("model.layers.0.mlp.experts.down_proj");
  const std::string expert = "model.layers.0.block_sparse_moe.experts.1.";
  EXPECT_EQ(Into(up, expert + "w1.weight"), 2 * kInner * kHidden * 2);
  EXPECT_EQ(Into(up, expert + "w3.weight"), 3 * kInner * kHidden * 2);
  EXPECT_EQ(Into(down, expert + "w2.weight"), kInner * kHidden * 2);
  Make(Singles(), Packed("up_gate_proj"));
  ASSERT_TRUE(RenameModels(models_, 0).ok());
  EXPECT_LT(models_[1]->Find("model.layers.0.mlp.experts.0.up_proj.weight")->offset,
            models_[1]->Find("model.layers.0.mlp.experts.0.gate_proj.weight")->offset);
}

TEST_F(PackedExpertsTest, WhatShapesAndNamesDoNotSayIsRefusedByName) {
  EXPECT_THAT(Refusal(Singles(), Packed("gate_up_proj", {3, 4, 12}, {3, 6, 4})),
              AllOf(HasSubstr("'model.layers.0.mlp.experts.gate_up_proj' of [3, 4, 12]"),
                    HasSubstr("transposed"), HasSubstr("model 'base'")));
  EXPECT_THAT(Refusal(Singles(), Packed("fused")), HasSubstr("upper half"));
  EXPECT_THAT(Refusal(Singles({}, 4), Packed()),
              AllOf(HasSubstr("it has 3 experts"), HasSubstr("experts.3.gate_proj.weight'")));
  EXPECT_THAT(Refusal(Singles({}, 2), Packed()), HasSubstr("lacks"));
  // A square does not say which side is which.
  Tensors singles = Singles(), packed = Packed();
  for (TinyTensor& tensor : singles) {
    if (tensor.name.find("down_proj") != std::string::npos) tensor.shape = {4, 4};
  }
  for (TinyTensor& tensor : packed) {
    if (tensor.name.find("down_proj") != std::string::npos) tensor.shape = {3, 4, 4};
  }
  EXPECT_THAT(Refusal(singles, packed), HasSubstr("does not tell whether"));
}

TEST_F(PackedExpertsTest, QuantisedOnesAreNotTakenApart) {
  Tensors packed = Packed();
  const size_t count = packed.size();
  for (size_t i = 0; i < count; ++i) {
    if (packed[i].shape.size() != 3) continue;
    packed[i].dtype = DType::kF8E4M3;
    packed.push_back({absl::StrCat(packed[i].name, "_scale_inv"), DType::kF32, {3, 1, 1}});
  }
  EXPECT_THAT(Refusal(Singles(), packed),
              AllOf(HasSubstr("'model.layers.0.mlp.experts.gate_up_proj'"),
                    HasSubstr("it is stored quantised"), HasSubstr("dequantise the model first")));
}

TEST_F(PackedExpertsTest, ABaseThatPacksThemIsToBeAnExpert) {
  EXPECT_THAT(Refusal(Packed(), Singles()),
              AllOf(HasSubstr("model 'base' packs its experts"),
                    HasSubstr("'model.layers.0.mlp.experts.gate_up_proj'"),
                    HasSubstr("one tensor an expert as base_model")));
}

}  // namespace
}  // namespace merganser
