// Tensors that are no parameters: integers, masks, counters, and what loading computes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
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

constexpr double kInf = std::numeric_limits<double>::infinity();

TinyTensor Floats(const std::string& name, const std::vector<double>& values, Shape shape = {},
                  DType dtype = DType::kF32) {
  if (shape.empty()) shape = {values.size()};
  return {name, dtype, shape, EncodeTiny(dtype, values)};
}

TinyTensor Integer(const std::string& name, char value) {
  return {name, DType::kI64, {}, std::string(1, value) + std::string(7, '\0')};
}

class BuffersTest : public ::testing::Test {
 protected:
  // Models of a matrix each and of what is given, called m0, m1, ...
  absl::StatusOr<Alignment> Align(const std::vector<std::vector<TinyTensor>>& models,
                                  const std::vector<LayerSlice>& slices = {},
                                  uint32_t reference = 0) {
    checkpoints_.clear();
    std::vector<const Checkpoint*> pointers;
    for (size_t i = 0; i < models.size(); ++i) {
      TinyCheckpoint tiny;
      tiny.seed = i + 1;
      tiny.tensors = {{"model.layers.0.mlp.weight", DType::kBF16, {4, 4}}};
      tiny.tensors.insert(tiny.tensors.end(), models[i].begin(), models[i].end());
      checkpoints_.push_back(
          std::make_unique<Checkpoint>(stage_.Make(absl::StrCat("m", ++count_), tiny)));
      checkpoints_.back()->given = absl::StrCat("m", i);
      pointers.push_back(checkpoints_.back().get());
    }
    AlignOptions options;
    options.reference = reference;
    return AlignModels(pointers, slices, options);
  }
  std::string Refusal(const std::vector<std::vector<TinyTensor>>& models) {
    const auto alignment = Align(models);
    EXPECT_EQ(alignment.status().code(), absl::StatusCode::kInvalidArgument) << alignment.status();
    return std::string(alignment.status().message());
  }
  // The second tensor is copied, from that model alone.
  static void ExpectCopied(const absl::StatusOr<Alignment>& alignment, uint32_t model = 0) {
    ASSERT_TRUE(alignment.ok()) << alignment.status();
    const AlignedTensor& tensor = alignment->tensors.at(1);
    EXPECT_TRUE(tensor.copied) << tensor.name;
    ASSERT_EQ(tensor.sources.size(), 1u) << tensor.name;
    EXPECT_EQ(tensor.sources[0].model, model) << tensor.name;
  }
  static void ExpectMerged(const absl::StatusOr<Alignment>& alignment) {
    ASSERT_TRUE(alignment.ok()) << alignment.status();
    EXPECT_FALSE(alignment->tensors.at(1).copied) << alignment->tensors[1].name;
  }

  Stage stage_;
  int count_ = 0;
  std::vector<std::unique_ptr<Checkpoint>> checkpoints_;
};

TEST_F(BuffersTest, WhatLoadingComputesIsTheReferencesWhateverOthersHold) {
  const TinyTensor one = Floats("rotary_emb.inv_freq", {1, 0.5});
  const TinyTensor other = Floats("rotary_emb.inv_freq", {1, 0.25});
  const TinyTensor half = Floats("rotary_emb.inv_freq", {1, 0.5}, {2}, DType::kBF16);
  for (const uint32_t reference : {0u, 1u}) {
    for (const TinyTensor& second : {other, half}) {
      const auto alignment = Align({{one}, {second}}, {}, reference);
      ExpectCopied(alignment, reference);
      EXPECT_THAT(alignment->warnings,
                  ElementsAre(AllOf(HasSubstr("'rotary_emb.inv_freq' is not the same"),
                                    HasSubstr(reference == 0 ? "'m0'" : "'m1'"))));
    }
  }
  const auto equal = Align({{one}, {one}});
  ExpectCopied(equal);
  EXPECT_THAT(equal->warnings, IsEmpty());
  // GPT-2's mask, as one version stored it and as another did.
  const TinyTensor bytes{"attn.bias", DType::kU8, {1, 1, 4, 4}};
  const TinyTensor floats{"attn.bias", DType::kF32, {1, 1, 4, 4}};
  ExpectCopied(Align({{bytes}, {floats}}));
  ExpectCopied(Align({{floats}, {bytes}}));
  EXPECT_THAT(Refusal({{floats}, {{"attn.bias", DType::kF32, {1, 1, 8, 8}}}}),
              HasSubstr("shape [1, 1, 8, 8]"));
  EXPECT_THAT(Refusal({{{"position_ids", DType::kI64, {2}, std::string(16, '\1')}},
                       {{"position_ids", DType::kI64, {2}, std::string(16, '\2')}}}),
              HasSubstr("'position_ids': element 0 differs"));
}

TEST_F(BuffersTest, IntegersMustBeEqual) {
  ExpectCopied(Align({{Integer("table", 3)}, {Integer("table", 3)}}));
  EXPECT_THAT(Refusal({{Integer("table", 3)}, {Integer("table", 3)}, {Integer("table", 4)}}),
              AllOf(HasSubstr("model 'm2'"), HasSubstr("tensor 'table': element 0 differs"),
                    HasSubstr("I64 tensors are not merged")));
  TinyTensor large{"table", DType::kI32, {600000}, std::string(2400000, '\1')};
  TinyTensor other = large;
  other.bytes[4 * 500001 + 2] = '\2';
  ExpectCopied(Align({{large}, {large}}));
  EXPECT_THAT(Refusal({{large}, {other}}), HasSubstr("element 500001 differs"));
}

TEST_F(BuffersTest, CountersThatDifferAreTheReferences) {
  const auto alignment =
      Align({{Integer("bn.num_batches_tracked", 3)}, {Integer("bn.num_batches_tracked", 9)}});
  ExpectCopied(alignment);
  EXPECT_THAT(
      alignment->warnings,
      ElementsAre(AllOf(HasSubstr("'bn.num_batches_tracked' is not the same"), HasSubstr("'m0'"))));
  EXPECT_THAT(
      Align({{Integer("bn.num_batches_tracked", 3)}, {Integer("bn.num_batches_tracked", 3)}})
          ->warnings,
      IsEmpty());
  // A list of them is no counter.
  TinyTensor list{"steps", DType::kI64, {2}, std::string(16, '\1')};
  TinyTensor other{"steps", DType::kI64, {2}, std::string(16, '\2')};
  EXPECT_THAT(Refusal({{list}, {other}}), HasSubstr("'steps'"));
}

TEST_F(BuffersTest, MasksOfInfinitiesThatAllModelsHoldAreCopied) {
  for (const DType dtype : {DType::kF64, DType::kF32, DType::kF16, DType::kBF16}) {
    const TinyTensor mask = Floats("attn_mask", {0, -kInf, 0, 0}, {2, 2}, dtype);
    ExpectCopied(Align({{mask}, {mask}, {mask}}));
    ExpectCopied(Align({{mask}}));
    ExpectMerged(Align({{Floats("attn_mask", {0, -1e4, 0, 0}, {2, 2}, dtype)},
                        {Floats("attn_mask", {0, -1e4, 0, 0}, {2, 2}, dtype)}}));
    EXPECT_THAT(Refusal({{mask}, {Floats("attn_mask", {0, -1e4, 0, 0}, {2, 2}, dtype)}}),
                AllOf(HasSubstr("model 'm1'"), HasSubstr("'attn_mask': element 1 differs"),
                      HasSubstr("NaN or infinite")));
  }
  EXPECT_THAT(
      Refusal({{Floats("A_log", {1, NAN})}, {Floats("A_log", {1, NAN}, {2}, DType::kBF16)}}),
      HasSubstr("found dtype BF16, expected F32"));
  const TinyTensor bias = Floats("lm_head.bias", {1, NAN, -kInf});
  ExpectCopied(Align({{bias}, {bias}}));
  // Weights are not looked at: what is wrong with them is found while they are read.
  ExpectMerged(Align({{Floats("mask.weight", {kInf})}, {Floats("mask.weight", {kInf})}}));
}

TEST_F(BuffersTest, OfALargeMaskTheBeginningTells) {
  constexpr size_t kSide = 1024;
  std::vector<double> values(kSide * kSide);
  for (size_t i = 0; i < values.size(); ++i) values[i] = i % kSide > i / kSide ? -kInf : 0;
  const TinyTensor mask = Floats("attn_mask", values, {kSide, kSide});
  ExpectCopied(Align({{mask}, {mask}}));
  values.back() = 1;
  EXPECT_THAT(Refusal({{mask}, {Floats("attn_mask", values, {kSide, kSide})}}),
              HasSubstr("element 1048575 differs"));
}

TEST_F(BuffersTest, OfSlicesEachHasItsFirstModels) {
  const std::vector<LayerSlice> slices = {{{{0, 0}}, 1}, {{{1, 0}}, 1}};
  const auto alignment = Align({{Integer("model.layers.0.bn.num_batches_tracked", 3)},
                                {Integer("model.layers.0.bn.num_batches_tracked", 9)}},
                               slices);
  ASSERT_TRUE(alignment.ok()) << alignment.status();
  EXPECT_EQ(alignment->tensors.at(1).sources.at(0).model, 0u);
  EXPECT_EQ(alignment->tensors.at(3).sources.at(0).model, 1u);
  EXPECT_THAT(alignment->warnings, IsEmpty());
}

}  // namespace
}  // namespace merganser
