#include "worker/checkpoint_weights.h"

#include <memory>
#include <string>
#include <vector>

#include "common/storage/memory/memory_store.h"
#include "gtest/gtest.h"
#include "tests/testing/test_traits.h"
#include "tests/worker/exact_product.h"

namespace merganser {
namespace {

constexpr uint64_t kRows = ExactProduct::kRows, kCols = ExactProduct::kCols;

class CheckpointWeightsTest : public ::testing::Test {
 protected:
  CheckpointWeightsTest() {
    // The model in one store, the adapter's factors in another.
    model_.store = MakeMemoryStore("weights-model", TestTraits());
    model_.uri = model_.given = "memory://weights-model";
    const std::shared_ptr<ObjectStore> adapter = MakeMemoryStore("weights-adapter", TestTraits());
    model_.places = {{"memory://weights-adapter", "adapter", adapter}};
    product_.Put(*model_.store, *adapter);
    model_.shards = {{"w", **model_.store->Stat("w"), ""}, {"f", **adapter->Stat("f"), "", 1}};
    tensor_ = {"w.weight", DType::kF32, {kRows, kCols}, 0, 0, kRows * kCols * sizeof(float)};
    tensor_.update = product_.Update();
  }

  const ExactProduct product_;
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
      ASSERT_EQ(block.stored[i], product_.matrix[first + i]);
      ASSERT_EQ(block.weights[i], product_.matrix[first + i] + product_.Added(first + i))
          << first + i;
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
  EXPECT_EQ(block.stored,
            std::vector<double>(product_.matrix.begin() + 5, product_.matrix.begin() + 14));
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
