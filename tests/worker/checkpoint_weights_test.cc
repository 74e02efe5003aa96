#include "worker/checkpoint_weights.h"

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "common/storage/memory/memory_store.h"
#include "gtest/gtest.h"
#include "tests/testing/test_traits.h"
#include "tests/testing/tiny_checkpoint.h"

namespace merganser {
namespace {

constexpr uint64_t kRows = 700, kCols = 500, kRank = 3;
constexpr double kScale = 0.5;

// Multiples of 1/64 below 4: products and sums of them are exact in float32.
std::vector<double> Values(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<double> values(count);
  for (double& value : values) value = static_cast<double>(random() % 512) / 64 - 4;
  return values;
}

class CheckpointWeightsTest : public ::testing::Test {
 protected:
  CheckpointWeightsTest() {
    // The model in one store, the adapter's factors in another.
    model_.store = MakeMemoryStore("weights-model", TestTraits());
    model_.uri = model_.given = "memory://weights-model";
    const std::shared_ptr<ObjectStore> adapter = MakeMemoryStore("weights-adapter", TestTraits());
    model_.places = {{"memory://weights-adapter", "adapter", adapter}};
    EXPECT_TRUE(model_.store->Put("w", EncodeTiny(DType::kF32, base_)).ok());
    EXPECT_TRUE(
        adapter->Put("f", EncodeTiny(DType::kF32, left_) + EncodeTiny(DType::kF32, right_)).ok());
    model_.shards = {{"w", **model_.store->Stat("w"), ""}, {"f", **adapter->Stat("f"), "", 1}};
    const uint64_t left = kRows * kRank, right = kRank * kCols;
    LowRankTerm term;
    term.row_factor = {{1, 0, DType::kF32, left}, left, kRank, 1};
    term.column_factor = {{1, left * sizeof(float), DType::kF32, right}, right, 1, kCols};
    term.rank = kRank;
    term.scale = kScale;
    tensor_ = {"w.weight", DType::kF32, {kRows, kCols}, 0, 0, kRows * kCols * sizeof(float)};
    tensor_.update = {{term}, {}};
  }

  double Sum(uint64_t element) const {
    double sum = 0;
    for (uint64_t k = 0; k < kRank; ++k) {
      sum += left_[element / kCols * kRank + k] * right_[k * kCols + element % kCols];
    }
    return base_[element] + kScale * sum;
  }

  const std::vector<double> base_ = Values(kRows * kCols, 1), left_ = Values(kRows * kRank, 2),
                            right_ = Values(kRank * kCols, 3);
  Checkpoint model_;
  CheckpointTensor tensor_;
};

TEST_F(CheckpointWeightsTest, AreThoseOfTheFileAndTheUpdate) {
  ThreadPool pool(2);
  CheckpointWeights weights(model_, pool);
  for (const auto& [first, count] : {std::pair<uint64_t, uint64_t>{0, kRows * kCols},
                                     {kCols + 7, 3 * kCols},
                                     {kRows * kCols - 1, 1}}) {
    WeightBlock block;
    const absl::Status read = weights.Read(tensor_, first, count, block);
    ASSERT_TRUE(read.ok()) << read;
    ASSERT_EQ(block.stored.size(), count);
    ASSERT_EQ(block.weights.size(), count);
    for (uint64_t i = 0; i < count; ++i) {
      ASSERT_EQ(block.stored[i], base_[first + i]);
      ASSERT_EQ(block.weights[i], Sum(first + i)) << first + i;
    }
  }
}

TEST_F(CheckpointWeightsTest, WithoutAnUpdateAreThoseOfTheFile) {
  SerialExecutor executor;
  tensor_.update.reset();
  CheckpointWeights weights(model_, executor);
  WeightBlock block;
  ASSERT_TRUE(weights.Read(tensor_, 5, 9, block).ok());
  EXPECT_EQ(block.weights, block.stored);
  EXPECT_EQ(block.stored, std::vector<double>(base_.begin() + 5, base_.begin() + 14));
}

TEST_F(CheckpointWeightsTest, NamesWhatCannotBeRead) {
  SerialExecutor executor;
  CheckpointWeights weights(model_, executor);
  ASSERT_TRUE(model_.store->Delete("w").ok());
  WeightBlock block;
  const absl::Status read = weights.Read(tensor_, 0, 1, block);
  EXPECT_NE(std::string(read.message()).find("w.weight"), std::string::npos) << read;
}

}  // namespace
}  // namespace merganser
