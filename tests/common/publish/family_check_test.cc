#include "common/publish/family_check.h"

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/prepare/prepare.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/tiny_checkpoint.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int kLayers = 6;
constexpr size_t kSide = 24;

// Weights of `seed`, and of each layer so much of another model's as `mix` says.
TinyCheckpoint Model(uint32_t seed, const std::vector<double>& mix, DType dtype) {
  TinyCheckpoint model;
  std::normal_distribution<double> normal;
  std::minstd_rand own(seed), other(seed + 100);
  for (int layer = 0; layer < kLayers; ++layer) {
    std::vector<double> values(kSide * kSide);
    const double part = mix.empty() ? 0 : mix[static_cast<size_t>(layer)];
    for (double& value : values) value = normal(own) + part * normal(other);
    model.tensors.push_back({absl::StrCat("model.layers.", layer, ".mlp.up_proj.weight"),
                             dtype,
                             {kSide, kSide},
                             EncodeTiny(dtype, values)});
  }
  return model;
}

std::vector<double> Everywhere(double part) { return std::vector<double>(kLayers, part); }

class ForeignExpertsTest : public ::testing::Test {
 protected:
  ForeignExpertsTest() { Write("base", Model(1, {}, DType::kBF16)); }

  void Write(const std::string& name, const TinyCheckpoint& model) {
    ASSERT_TRUE(WriteTinyCheckpoint(model, dir_.File(name)).ok());
  }
  std::vector<std::string> Check(const std::string& method,
                                 const std::vector<std::string>& experts) {
    std::string recipe = absl::StrCat("merge_method: ", method, "\nbase_model: base\nmodels:\n");
    for (const std::string& expert : experts) absl::StrAppend(&recipe, "  - model: ", expert, "\n");
    if (method == "linear") absl::StrAppend(&recipe, "parameters:\n  weight: 1\n");
    const auto prepared = PrepareMerge(
        recipe, "recipe.yaml", {std::filesystem::path(dir_.File("base")).parent_path()}, stores_);
    EXPECT_TRUE(prepared.ok()) << prepared.status();
    return prepared.ok() ? ForeignExperts(prepared->plan, stores_) : std::vector<std::string>();
  }

  TempDir dir_;
  Stores stores_;
};

TEST_F(ForeignExpertsTest, OneOfAnotherFamilyIsNamedWithItsDistances) {
  Write("child", Model(1, Everywhere(0.02), DType::kBF16));
  Write("stranger", Model(7, {}, DType::kBF16));
  EXPECT_THAT(Check("resmerge", {"child", "stranger"}),
              ElementsAre(AllOf(HasSubstr("stranger: found it as far from base"), HasSubstr("1.4"),
                                HasSubstr("model.layers.1.mlp.up_proj.weight"),
                                HasSubstr("see whether base_model"), Not(HasSubstr("child")))));
}

TEST_F(ForeignExpertsTest, TheThresholdIsHalfTheBasesNorm) {
  Write("far", Model(1, Everywhere(0.45), DType::kBF16));
  EXPECT_THAT(Check("resmerge", {"far"}), IsEmpty());
  Write("foreign", Model(1, Everywhere(0.55), DType::kBF16));
  EXPECT_THAT(Check("resmerge", {"foreign"}), ElementsAre(HasSubstr("0.5")));
}

TEST_F(ForeignExpertsTest, EveryTypeIsReadAsWhatItIs) {
  for (const DType dtype : {DType::kF64, DType::kF32, DType::kF16, DType::kBF16}) {
    const std::string name(DTypeName(dtype));
    Write(name, Model(1, Everywhere(0.01), dtype));
    EXPECT_THAT(Check("ties", {name}), IsEmpty()) << name;
    Write(name + "-stranger", Model(9, {}, dtype));
    EXPECT_THAT(Check("ties", {name + "-stranger"}), ElementsAre(HasSubstr("1.4"))) << name;
  }
}

// A layer that was made anew is no other family.
TEST_F(ForeignExpertsTest, MostOfThreeMatricesDecide) {
  for (const int foreign : {1, 3, 4}) {  // the three that are looked at
    std::vector<double> mix = Everywhere(0.01);
    mix[static_cast<size_t>(foreign)] = 2;
    Write("child", Model(1, mix, DType::kBF16));
    EXPECT_THAT(Check("resmerge", {"child"}), IsEmpty()) << foreign;
  }
  std::vector<double> mix = Everywhere(0.01);
  mix[1] = mix[4] = 2;
  Write("child", Model(1, mix, DType::kBF16));
  EXPECT_THAT(Check("resmerge", {"child"}), ElementsAre(HasSubstr("child")));
}

TEST_F(ForeignExpertsTest, WhatSaysNothingWarnsOfNothing) {
  Write("stranger", Model(7, {}, DType::kBF16));
  // The base is a model as any other.
  EXPECT_THAT(Check("linear", {"base", "stranger"}), IsEmpty());
  // Neither a base of zeros nor what is not finite can be held against.
  TinyCheckpoint zeros = Model(1, {}, DType::kBF16);
  for (TinyTensor& tensor : zeros.tensors) tensor.bytes.assign(tensor.bytes.size(), '\0');
  Write("base", zeros);
  EXPECT_THAT(Check("resmerge", {"stranger"}), IsEmpty());
  TinyCheckpoint nan = Model(1, {}, DType::kBF16);
  for (TinyTensor& tensor : nan.tensors) tensor.bytes.assign(tensor.bytes.size(), '\xff');
  Write("base", Model(1, {}, DType::kBF16));
  Write("nan", nan);
  EXPECT_THAT(Check("resmerge", {"nan"}), IsEmpty());
}

// The merge says what is wrong with it.
TEST_F(ForeignExpertsTest, WhatCannotBeReadIsLeftToTheMerge) {
  Write("stranger", Model(7, {}, DType::kBF16));
  const auto prepared = PrepareMerge(
      "merge_method: resmerge\nbase_model: base\nmodels:\n  - model: stranger\n", "recipe.yaml",
      {std::filesystem::path(dir_.File("base")).parent_path()}, stores_);
  ASSERT_TRUE(prepared.ok());
  std::filesystem::remove_all(dir_.File("stranger"));
  EXPECT_THAT(ForeignExperts(prepared->plan, stores_), IsEmpty());
}

}  // namespace
}  // namespace merganser
