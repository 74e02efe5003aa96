// The helper that the methods' tests rely on.
#include "tests/common/methods/run_method.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

namespace merganser {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

// One round: the sum of the leaves' sizes, and how many they were. Writes both, and
// every element's place.
class Probe final : public MergeMethod {
 public:
  Probe(Split split, bool grouped) : split_(split), grouped_(grouped) {}
  std::string_view name() const override { return "probe"; }
  absl::StatusOr<TensorNeeds> Needs(const TensorSpec& tensor) const override {
    TensorNeeds needs;
    needs.split = split_;
    needs.rounds = 3;
    if (grouped_) needs.group = tensor.name;
    return needs;
  }
  absl::StatusOr<Analysis> Analyze(const Leaf& leaf, int round, const Gate& state,
                                   Executor&) const override {
    EXPECT_EQ(static_cast<size_t>(round), state.values.size());
    Analysis analysis;
    analysis.stats.sums = {static_cast<double>(leaf.experts[0].size)};
    analysis.stats.counts = {{leaf.index, 1}};
    analysis.keepsake.values = {static_cast<double>(leaf.index)};
    return analysis;
  }
  absl::StatusOr<Gate> Reduce(const TensorNeeds&, int round, const Gate& state,
                              const GroupStats& stats, ReportFields&) const override {
    EXPECT_EQ(stats.Total()[0], static_cast<double>(stats.elements));
    EXPECT_THAT(stats.counts, SizeIs(stats.leaves.size()));
    Gate gate = state;
    gate.values.push_back(static_cast<double>(stats.leaves.size()));
    gate.settled = round == 1;
    return gate;
  }
  absl::Status Apply(const Leaf& leaf, const Gate& gate, const Keepsake& keepsake,
                     MutableTensorView out, ReportFields&, Executor&) const override {
    EXPECT_TRUE(gate.settled);
    EXPECT_THAT(keepsake.values, ElementsAre(leaf.index));
    EXPECT_EQ(static_cast<uint64_t>(leaf.rows * leaf.cols), out.size);
    EXPECT_EQ(leaf.base.size, out.size);
    for (uint64_t e = 0; e < out.size; ++e) {
      const double value = 1000 * gate.values[0] + static_cast<double>(leaf.first_element + e);
      std::memcpy(out.data + e * sizeof(value), &value, sizeof(value));
    }
    return absl::OkStatus();
  }

 private:
  Split split_;
  bool grouped_;
};

MethodRun Cut(Shape shape, size_t size, uint64_t leaf_elements) {
  MethodRun run;
  run.shape = std::move(shape);
  run.base.assign(size, 0);
  run.experts = {run.base};
  run.leaf_elements = leaf_elements;
  return run;
}

TEST(RunMethodTest, CutsByElements) {
  const auto result = RunMethod(Probe(Split::kElements, true), Cut({}, 7, 3));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->values, ElementsAre(3000, 3001, 3002, 3003, 3004, 3005, 3006));
  EXPECT_EQ(result->rounds, 2);
}

TEST(RunMethodTest, CutsByRows) {
  const auto result = RunMethod(Probe(Split::kRows, true), Cut({5, 2}, 10, 5));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->values[9], 3009);
  EXPECT_EQ(RunMethod(Probe(Split::kRows, true), Cut({5, 2}, 10, 1))->values[0], 5000);
  EXPECT_EQ(RunMethod(Probe(Split::kMatrices, true), Cut({5, 2, 1}, 10, 1))->values[0], 5000);
  EXPECT_EQ(RunMethod(Probe(Split::kWhole, true), Cut({5, 2}, 10, 1))->values[0], 1000);
}

TEST(RunMethodTest, LeavesWithoutAGroupHaveGatesOfTheirOwn) {
  const auto result = RunMethod(Probe(Split::kElements, false), Cut({}, 7, 3));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->values[6], 1006);
}

TEST(RunMethodTest, RoundsInputsAndOutput) {
  MethodRun run;
  run.experts = {{1.0 + 0x1p-9, -3}, {1, 5}};
  run.in = run.out = DType::kBF16;
  const auto method = MethodNamed("linear", 2, "weight: 0.5");
  ASSERT_NE(method, nullptr);
  const auto result = RunMethod(*method, run);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->values, ElementsAre(1, 1));
  EXPECT_THAT(result->bytes, SizeIs(4));
  EXPECT_THAT(RoundTo(DType::kF32, {1 + 0x1p-30, 0.5}), ElementsAre(1, 0.5));
}

}  // namespace
}  // namespace merganser
