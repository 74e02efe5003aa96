#include "common/adapters/tensor_merge.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/linalg/block_ops.h"
#include "common/linalg/convert.h"
#include "common/methods/registry.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

constexpr uint64_t kElements = 1000;

std::vector<double> Values(uint64_t seed) {
  std::vector<double> values;
  values.reserve(kElements);
  uint64_t state = seed;
  for (uint64_t i = 0; i < kElements; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    values.push_back(static_cast<double>(static_cast<int64_t>(state >> 40)) / 0x1p24 - 0.5);
  }
  return values;
}

// Sources from memory, as float32.
class MemoryReader final : public PlannedReader {
 public:
  explicit MemoryReader(std::vector<std::vector<double>> sources) : sources_(std::move(sources)) {}

  absl::Status Read(const PlannedTensor&, uint64_t first,
                    std::span<const TensorView> views) override {
    ++reads;
    for (size_t s = 0; s < views.size(); ++s) {
      most = std::max(most, views[s].size);
      std::vector<double> part(
          sources_[s].begin() + static_cast<std::ptrdiff_t>(first),
          sources_[s].begin() + static_cast<std::ptrdiff_t>(first + views[s].size));
      part.resize(linalg::PadLanes(part.size()));
      linalg::StoreDoubles(part.data(),
                           {const_cast<std::byte*>(views[s].data), views[s].dtype, views[s].size});
    }
    return fails ? absl::UnavailableError("the store is gone") : absl::OkStatus();
  }
  uint64_t ReadBytes(const PlannedTensor&, uint64_t) const override { return 0; }
  absl::Status ReadBlock(uint32_t, const StoredBlock&, std::vector<double>&) override {
    return absl::UnimplementedError("not asked for");
  }

  uint64_t reads = 0, most = 0;
  bool fails = false;

 private:
  std::vector<std::vector<double>> sources_;
};

std::unique_ptr<MergeMethod> Method(const std::string& name, std::vector<double> weights,
                                    double density) {
  MethodConfig config;
  config.method = name;
  config.numbers = {{"normalize", 0}, {"lambda", 2}, {"rescale", 0}, {"seed", 7}};
  for (const double weight : weights) {
    config.per_model.push_back({{"weight", weight}, {"density", density}});
  }
  config.has_base = true;
  absl::StatusOr<std::unique_ptr<MergeMethod>> method = MakeMethod(config);
  EXPECT_TRUE(method.ok()) << method.status();
  return method.ok() ? *std::move(method) : nullptr;
}

PlannedTensor Deltas(const MergeMethod& method, uint64_t leaf) {
  PlannedTensor tensor;
  tensor.spec = {"model.layers.0.mlp.up_proj.weight", {40, 25}};
  tensor.needs = *method.Needs(tensor.spec);
  tensor.elements = kElements;
  tensor.leaf_elements = leaf;
  tensor.leaves = (kElements + leaf - 1) / leaf;
  for (uint32_t model = 1; model <= 2; ++model) {
    PlannedSource& source = tensor.sources.emplace_back();
    source.model = model;
    source.delta = true;
  }
  return tensor;
}

std::vector<double> Merged(const MergeMethod& method, const PlannedTensor& tensor,
                           MemoryReader& reader) {
  SerialExecutor executor;
  std::vector<float> out(kElements, -1);
  uint64_t done = 0;
  const absl::Status status = MergeTensor(
      method, tensor, reader, executor,
      [&](uint64_t first, uint64_t count) {
        EXPECT_EQ(first, done);
        return MutableTensorView{reinterpret_cast<std::byte*>(out.data() + first), DType::kF32,
                                 count};
      },
      [&](const MutableTensorView& leaf) {
        done += leaf.size;
        return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(done, kElements);
  return {out.begin(), out.end()};
}

TEST(MergeTensor, IsWhatTheMethodAddsToABase) {
  const std::vector<double> a = Values(1), b = Values(2);
  const auto method = Method("task_arithmetic", {0.75, -0.5}, 1);
  MemoryReader reader({a, b});
  const std::vector<double> merged = Merged(*method, Deltas(*method, 300), reader);
  for (size_t i = 0; i < kElements; ++i) {
    // Exact: the values have 24 bits, the weights two.
    ASSERT_EQ(merged[i], static_cast<float>(2 * (0.75 * a[i] - 0.5 * b[i]))) << i;
  }
}

TEST(MergeTensor, DoesNotDependOnTheCutIntoLeaves) {
  for (const char* name : {"ties", "dare_ties", "dare_linear"}) {
    const auto method = Method(name, {1, 0.5}, 0.3);
    MemoryReader whole({Values(1), Values(2)}), cut({Values(1), Values(2)});
    const std::vector<double> one = Merged(*method, Deltas(*method, 2000), whole);
    const std::vector<double> other = Merged(*method, Deltas(*method, 128), cut);
    EXPECT_EQ(one, other) << name;
    EXPECT_EQ(whole.most, kElements);
    // No more than a leaf is in memory, and one that is there is not read again.
    EXPECT_EQ(cut.most, 128U);
    EXPECT_EQ(whole.reads, 1U);
    const auto zeros = static_cast<size_t>(std::count(one.begin(), one.end(), 0.0));
    EXPECT_GT(zeros, kElements / 4) << name;
    EXPECT_LT(zeros, kElements * 3 / 4) << name;
  }
}

TEST(MergeTensor, StopsAtTheFirstError) {
  const auto method = Method("task_arithmetic", {1, 1}, 1);
  MemoryReader reader({Values(1), Values(2)});
  reader.fails = true;
  SerialExecutor executor;
  std::vector<float> out(kElements);
  const absl::Status status = MergeTensor(
      *method, Deltas(*method, 128), reader, executor,
      [&](uint64_t first, uint64_t count) {
        return MutableTensorView{reinterpret_cast<std::byte*>(out.data() + first), DType::kF32,
                                 count};
      },
      [](const MutableTensorView&) { return absl::OkStatus(); });
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(reader.reads, 1U);
}

TEST(MergeTensor, NamesTheTensorWhereTheMethodFails) {
  const auto method = Method("task_arithmetic", {1, 1}, 1);
  MemoryReader reader({std::vector<double>(kElements, 3e38), std::vector<double>(kElements, 3e38)});
  SerialExecutor executor;
  std::vector<float> out(kElements);
  const absl::Status status = MergeTensor(
      *method, Deltas(*method, 2000), reader, executor,
      [&](uint64_t, uint64_t count) {
        return MutableTensorView{reinterpret_cast<std::byte*>(out.data()), DType::kF32, count};
      },
      [](const MutableTensorView&) { return absl::OkStatus(); });
  EXPECT_TRUE(absl::IsOutOfRange(status)) << status;
  EXPECT_NE(status.message().find("model.layers.0.mlp.up_proj.weight"), std::string::npos);
}

}  // namespace
}  // namespace merganser
