#include "common/adapters/adapter_check.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/storage/memory/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/engine/small_plan.h"
#include "tests/testing/test_traits.h"
#include "tests/testing/tiny_checkpoint.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;

constexpr double kScale = 0.5;

// Tells what the test says.
class ToldWeights final : public WeightReader {
 public:
  std::map<std::string, WeightBlock> tensors;

  absl::Status Read(const CheckpointTensor& tensor, uint64_t first, uint64_t count,
                    WeightBlock& out) override {
    const auto part = [&](const std::vector<double>& from) {
      const auto begin = from.begin() + static_cast<std::ptrdiff_t>(first);
      return std::vector<double>(begin, begin + static_cast<std::ptrdiff_t>(count));
    };
    const WeightBlock& block = tensors.at(tensor.name);
    out = {part(block.stored), part(block.weights)};
    return absl::OkStatus();
  }
};

// A matrix 3 x 2 with an update of rank 2, and a norm without one.
class AdapterCheckTest : public ::testing::Test {
 protected:
  std::shared_ptr<Checkpoint> Model(const std::string& name, DType dtype) {
    auto model = std::make_shared<Checkpoint>(MakeReference({}));
    model->store = MakeMemoryStore(name, TestTraits());
    model->uri = model->given = name;
    const uint64_t width = BytesPerElement(dtype);
    model->tensors = {{"w.weight", dtype, {3, 2}, 0, 0, 6 * width},
                      {"norm.weight", dtype, {2}, 0, 6 * width, 2 * width}};
    model->shards = {{"model.safetensors", {8 * width, ""}, ""}};
    return model;
  }

  void Make(DType dtype, const std::vector<double>& weights, const std::vector<double>& norm) {
    auto base = Model("base+adapter", dtype);
    base->tensors[0].update.emplace();
    reader_.tensors = {{"w.weight", {base_, Sum()}}, {"norm.weight", {norm_, norm_}}};
    auto model = Model("model", dtype);
    ASSERT_TRUE(
        model->store->Put("model.safetensors", EncodeTiny(dtype, weights) + EncodeTiny(dtype, norm))
            .ok());
    pair_.base = base;
    pair_.model = model;
    pair_.alignment.tensors.clear();
    for (uint32_t t = 0; t < 2; ++t) {
      AlignedTensor aligned;
      aligned.name = base->tensors[t].name;
      aligned.shape = base->tensors[t].shape;
      aligned.sources.resize(2);
      aligned.sources[0].tensor = aligned.sources[1].tensor = t;
      aligned.sources[1].model = 1;
      pair_.alignment.tensors.push_back(aligned);
    }
  }

  std::vector<double> Sum() const {
    std::vector<double> out = base_;
    for (size_t i = 0; i < 3; ++i) {
      for (size_t j = 0; j < 2; ++j) {
        for (size_t k = 0; k < 2; ++k) {
          out[i * 2 + j] += kScale * left_[i * 2 + k] * right_[k * 2 + j];
        }
      }
    }
    return out;
  }

  AdapterCheck Check() {
    SerialExecutor executor;
    const auto check = CheckAdapter(pair_, reader_, executor);
    EXPECT_TRUE(check.ok()) << check.status();
    return check.ok() ? *check : AdapterCheck{};
  }

  const std::vector<double> base_ = {1, 2, 3, -4, 5, 0.25}, norm_ = {1, 0.5};
  const std::vector<double> left_ = {1, 0.5, -1, 0.25, 2, 1}, right_ = {0.125, 1, -0.5, 2};
  ModelPair pair_;
  ToldWeights reader_;
};

TEST_F(AdapterCheckTest, AcceptsTheSum) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kF64}) {
    Make(dtype, Sum(), norm_);
    const AdapterCheck check = Check();
    ASSERT_EQ(check.tensors.size(), 2U);
    EXPECT_EQ(check.tensors[0].exact, 6U);
    EXPECT_TRUE(check.tensors[0].adapted);
    EXPECT_FALSE(check.tensors[1].adapted);
    EXPECT_EQ(check.tensors[1].exact, 2U);
    EXPECT_TRUE(AdapterCheckStatus(check, pair_).ok());
    EXPECT_THAT(AdapterCheckText(check, pair_), HasSubstr("6 of 6 elements exact; 1 others"));
  }
}

TEST_F(AdapterCheckTest, ARoundingOfTheUpdateIsNoDifference) {
  // The update is nearly all of the sum: rounding it moves the sum by one of its own steps.
  std::vector<double> values = Sum();
  values[5] = std::nextafter(static_cast<float>(values[5]), 100.0F);
  Make(DType::kF32, values, norm_);
  const AdapterCheck check = Check();
  EXPECT_EQ(check.tensors[0].rounding, 1U);
  EXPECT_EQ(check.tensors[0].exact, 5U);
  EXPECT_EQ(check.tensors[0].worst_steps, 1);
  EXPECT_EQ(check.tensors[0].worst_element, 5U);
  EXPECT_TRUE(AdapterCheckStatus(check, pair_).ok());
  EXPECT_THAT(AdapterCheckText(check, pair_), HasSubstr("1 off by rounding, at most 1 steps"));
  // Elsewhere the base is much larger than the update, whose rounding moves it less.
  values = Sum();
  values[3] += 0x1p-19;
  Make(DType::kF32, values, norm_);
  EXPECT_EQ(Check().tensors[0].differs, 1U);
}

TEST_F(AdapterCheckTest, AnotherValueIsNamed) {
  std::vector<double> values = Sum();
  values[4] += 0.25;
  Make(DType::kF32, values, norm_);
  const AdapterCheck check = Check();
  EXPECT_EQ(check.tensors[0].differs, 1U);
  const absl::Status status = AdapterCheckStatus(check, pair_);
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("'w.weight': 1 of 6 elements differ, worst element 4"),
                    HasSubstr("(base plus adapter); 1 of 2 tensors")));
}

TEST_F(AdapterCheckTest, AChangeBesideTheAdapterIsNamed) {
  // One step is much: no rounding explains it where nothing is added.
  Make(DType::kF32, Sum(), {1, std::nextafter(0.5F, 1.0F)});
  const absl::Status status = AdapterCheckStatus(Check(), pair_);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("'norm.weight'"), HasSubstr("(the base's own)")));
}

TEST_F(AdapterCheckTest, ABaseWithoutTheAdapterDiffers) {
  Make(DType::kF32, base_, norm_);
  EXPECT_EQ(Check().tensors[0].differs, 6U);
}

TEST_F(AdapterCheckTest, AMissingTensorIsTold) {
  Make(DType::kF32, Sum(), norm_);
  pair_.alignment.tensors[1].sources[1].model = 0;
  const AdapterCheck check = Check();
  EXPECT_TRUE(check.tensors[1].missing);
  EXPECT_THAT(std::string(AdapterCheckStatus(check, pair_).message()),
              HasSubstr("'norm.weight' is missing"));
}

}  // namespace
}  // namespace merganser
