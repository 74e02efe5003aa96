#include "common/publish/equal_models.h"

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

constexpr uint64_t kSide = 24;

// Three layers of two kinds of matrices and a norm, and an embedding.
TinyCheckpoint Model(uint32_t seed, DType dtype = DType::kBF16) {
  TinyCheckpoint model;
  std::normal_distribution<double> normal;
  std::minstd_rand random(seed);
  const auto add = [&](const std::string& name, const Shape& shape) {
    std::vector<double> values(shape.size() == 1 ? shape[0] : shape[0] * shape[1]);
    for (double& value : values) {
      value = normal(random);
      // Else halves would be rounded once here, and twice from single floats.
      if (dtype != DType::kF64) value = static_cast<float>(value);
    }
    model.tensors.push_back({name, dtype, shape, EncodeTiny(dtype, values)});
  };
  add("model.embed_tokens.weight", {40, kSide});
  for (int layer = 0; layer < 3; ++layer) {
    const std::string prefix = absl::StrCat("model.layers.", layer, ".");
    add(prefix + "mlp.up_proj.weight", {kSide, kSide});
    add(prefix + "self_attn.q_proj.weight", {kSide, kSide});
    add(prefix + "input_layernorm.weight", {kSide});
  }
  return model;
}

class EqualModelsTest : public ::testing::Test {
 protected:
  EqualModelsTest() { Write("base", Model(1)); }

  void Write(const std::string& name, const TinyCheckpoint& model) {
    ASSERT_TRUE(WriteTinyCheckpoint(model, dir_.File(name)).ok());
  }
  std::vector<std::string> Check(const std::string& method, const std::vector<std::string>& models,
                                 bool base = true) {
    std::string recipe =
        absl::StrCat("merge_method: ", method, base ? "\nbase_model: base" : "", "\nmodels:\n");
    for (const std::string& model : models) absl::StrAppend(&recipe, "  - model: ", model, "\n");
    absl::StrAppend(&recipe, "parameters:\n  weight: 1\n");
    const auto prepared = PrepareMerge(
        recipe, "recipe.yaml", {std::filesystem::path(dir_.File("base")).parent_path()}, stores_);
    EXPECT_TRUE(prepared.ok()) << prepared.status();
    return prepared.ok() ? EqualModels(prepared->plan, stores_) : std::vector<std::string>();
  }

  TempDir dir_;
  Stores stores_;
};

TEST_F(EqualModelsTest, AnExpertThatIsTheBaseIsTold) {
  Write("child", Model(2));
  Write("lost", Model(1));
  EXPECT_THAT(Check("task_arithmetic", {"child", "lost"}),
              ElementsAre(AllOf(HasSubstr("lost: found no difference to base in all that was "
                                          "sampled"),
                                HasSubstr("adapter"), Not(HasSubstr("child")))));
  // Several in one line.
  Write("lost too", Model(1));
  EXPECT_THAT(Check("ties", {"lost", "child", "lost too"}),
              ElementsAre(HasSubstr("lost, lost too: found no difference to base")));
}

TEST_F(EqualModelsTest, RoundingIsNoDifference) {
  Write("base", Model(1, DType::kF32));
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF64}) {
    Write("lost", Model(1, dtype));
    const auto said = Check("task_arithmetic", {"lost"});
    // What was drawn is no float of 32 bits.
    if (dtype == DType::kF64) {
      EXPECT_THAT(said, IsEmpty());
    } else {
      EXPECT_THAT(said, ElementsAre(HasSubstr("no difference to base"))) << DTypeName(dtype);
    }
    Write("child", Model(3, dtype));
    EXPECT_THAT(Check("task_arithmetic", {"child"}), IsEmpty());
  }
}

// Wherever it is: in one kind of tensor, or at the end of the embedding.
TEST_F(EqualModelsTest, ADifferenceInOneKindOfTensorsIsEnough) {
  const TinyCheckpoint other = Model(2), base = Model(1);
  for (const char* part : {"up_proj", "q_proj", "layernorm", "embed"}) {
    TinyCheckpoint child = base;
    for (size_t i = 0; i < child.tensors.size(); ++i) {
      if (child.tensors[i].name.find(part) != std::string::npos) {
        child.tensors[i].bytes = other.tensors[i].bytes;
      }
    }
    Write("child", child);
    EXPECT_THAT(Check("task_arithmetic", {"child"}), IsEmpty()) << part;
  }
  TinyCheckpoint child = base;
  child.tensors[0].bytes.back() = static_cast<char>(child.tensors[0].bytes.back() ^ 1);
  Write("child", child);
  EXPECT_THAT(Check("task_arithmetic", {"child"}), IsEmpty());
}

TEST_F(EqualModelsTest, ModelsThatAreEachOtherAreToldInOneLine) {
  Write("a", Model(2));
  Write("b", Model(3));
  Write("c", Model(2));
  for (const bool base : {true, false}) {
    EXPECT_THAT(Check(base ? "task_arithmetic" : "linear", {"a", "b", "c"}, base),
                ElementsAre(AllOf(HasSubstr("a, c: found no difference between them"),
                                  HasSubstr("counts 2 times"))));
  }
  // Of one that is the base as well that is all that is said.
  Write("d", Model(1));
  Write("e", Model(1));
  EXPECT_THAT(Check("task_arithmetic", {"d", "b", "e"}),
              ElementsAre(HasSubstr("d, e: found no difference to base")));
}

TEST_F(EqualModelsTest, WhatTheRecipeNamesTwiceIsItsAffair) {
  Write("a", Model(2));
  EXPECT_THAT(Check("linear", {"a", "base", "a"}, false), IsEmpty());
  EXPECT_THAT(Check("linear", {"base"}, false), IsEmpty());
}

TEST_F(EqualModelsTest, ZerosAndWhatCannotBeReadSayNothing) {
  TinyCheckpoint zeros = Model(1);
  for (TinyTensor& tensor : zeros.tensors) tensor.bytes.assign(tensor.bytes.size(), '\0');
  Write("base", zeros);
  Write("a", zeros);
  EXPECT_THAT(Check("task_arithmetic", {"a"}), IsEmpty());
  Write("base", Model(1));
  Write("a", Model(1));
  const auto prepared =
      PrepareMerge("merge_method: ties\nbase_model: base\nmodels:\n  - model: a\n", "recipe.yaml",
                   {std::filesystem::path(dir_.File("base")).parent_path()}, stores_);
  ASSERT_TRUE(prepared.ok());
  std::filesystem::remove_all(dir_.File("a"));
  EXPECT_THAT(EqualModels(prepared->plan, stores_), IsEmpty());
}

}  // namespace
}  // namespace merganser
