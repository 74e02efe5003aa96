#include "worker/planned_sources.h"

#include <cmath>
#include <cstddef>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/storage/stores.h"
#include "gtest/gtest.h"
#include "tests/worker/exact_product.h"

namespace merganser {
namespace {

constexpr uint64_t kRows = ExactProduct::kRows, kCols = ExactProduct::kCols;
constexpr char kBase[] = "memory://planned-sources/base";
constexpr char kAdapter[] = "memory://planned-sources/adapter";

class PlannedSourcesTest : public ::testing::Test {
 protected:
  // A base in one store, an adapter's factors in another.
  void Write() {
    const std::shared_ptr<ObjectStore> base = *Stores().Open(kBase);
    const std::shared_ptr<ObjectStore> adapter = *Stores().Open(kAdapter);
    product_.Put(*base, *adapter);
    plan_.models.resize(1);
    plan_.models[0].uri = kBase;
    plan_.models[0].places = {kAdapter};
    plan_.models[0].shards = {{"w", **base->Stat("w"), ""}, {"f", **adapter->Stat("f"), "", 1}};
    tensor_.spec = {"w.weight", {kRows, kCols}};
    tensor_.elements = kRows * kCols;
    PlannedSource stored, weights, delta;
    stored.tensor = weights.tensor = delta.tensor = "w.weight";
    weights.update = delta.update = product_.Update();
    weights.added_to = delta.added_to = DType::kF32;
    delta.delta = true;
    tensor_.sources = {stored, weights, delta};
  }

  std::unique_ptr<PlannedSources> Open(Executor& executor) {
    absl::StatusOr<std::unique_ptr<PlannedSources>> sources =
        PlannedSources::Open(plan_, Stores(), executor, 3);
    EXPECT_TRUE(sources.ok()) << sources.status();
    return sources.ok() ? *std::move(sources) : nullptr;
  }

  absl::Status Read(PlannedSources& sources, uint64_t first, uint64_t count,
                    std::vector<std::vector<float>>& out) {
    out.assign(3, std::vector<float>(count));
    std::vector<TensorView> views;
    views.reserve(3);
    for (size_t s = 0; s < 3; ++s) {
      views.push_back({reinterpret_cast<const std::byte*>(out[s].data()), DType::kF32, count,
                       tensor_.sources[s].delta});
    }
    return sources.Read(tensor_, first, views);
  }

  ExactProduct product_;
  Plan plan_;
  PlannedTensor tensor_;
};

TEST_F(PlannedSourcesTest, ReadsWeightsAndTaskVectorsInAnyRange) {
  Write();
  ThreadPool pool(2);
  const std::unique_ptr<PlannedSources> sources = Open(pool);
  for (const auto& [first, count] : {std::pair<uint64_t, uint64_t>{0, kRows * kCols},
                                     {kCols + 7, 3 * kCols},
                                     {kRows * kCols - 1, 1}}) {
    std::vector<std::vector<float>> out;
    const absl::Status read = Read(*sources, first, count, out);
    ASSERT_TRUE(read.ok()) << read;
    for (uint64_t i = 0; i < count; ++i) {
      ASSERT_EQ(out[0][i], product_.matrix[first + i]);
      ASSERT_EQ(out[1][i], product_.matrix[first + i] + product_.Added(first + i)) << first + i;
      ASSERT_EQ(out[2][i], product_.Added(first + i)) << first + i;
    }
  }
}

TEST_F(PlannedSourcesTest, ReadsAFactor) {
  Write();
  SerialExecutor executor;
  std::vector<double> entries;
  const absl::Status read = Open(executor)->ReadBlock(
      0, tensor_.sources[1].update->terms[0].column_factor->block, entries);
  ASSERT_TRUE(read.ok()) << read;
  EXPECT_EQ(entries, product_.right);
}

TEST_F(PlannedSourcesTest, NamesValuesThatAreNotFinite) {
  product_.matrix[kCols + 3] = std::numeric_limits<double>::infinity();
  product_.left[5] = std::nan("");
  Write();
  SerialExecutor executor;
  const std::unique_ptr<PlannedSources> sources = Open(executor);
  std::vector<std::vector<float>> out;
  absl::Status read = Read(*sources, 0, 3 * kCols, out);
  EXPECT_TRUE(absl::IsDataLoss(read)) << read;
  std::vector<double> entries;
  read = sources->ReadBlock(0, tensor_.sources[1].update->terms[0].row_factor.block, entries);
  EXPECT_TRUE(absl::IsDataLoss(read)) << read;
  EXPECT_NE(read.message().find("element 5 is NaN"), std::string::npos) << read;
  // Where the product is not read, the base's own value is what is told.
  tensor_.sources.resize(1);
  std::vector<float> alone(3 * kCols);
  const TensorView view{reinterpret_cast<const std::byte*>(alone.data()), DType::kF32, 3 * kCols};
  read = sources->Read(tensor_, 0, std::span(&view, 1));
  EXPECT_TRUE(absl::IsDataLoss(read)) << read;
  EXPECT_NE(read.message().find("w.weight"), std::string::npos) << read;
  EXPECT_NE(read.message().find(std::to_string(kCols + 3)), std::string::npos) << read;
}

TEST_F(PlannedSourcesTest, MemoryIsOfAsManyRangesAsAreReadAtOnce) {
  Write();
  SerialExecutor executor;
  const std::unique_ptr<PlannedSources> sources = Open(executor);
  const uint64_t one = sources->ReadBytes(tensor_, 10),
                 all = sources->ReadBytes(tensor_, kRows * kCols);
  EXPECT_GT(one, ExactProduct::kRank * kCols * sizeof(float));  // a range may need all columns
  EXPECT_GT(all, 2 * one);
  EXPECT_LT(all, 10 * one);
}

}  // namespace
}  // namespace merganser
