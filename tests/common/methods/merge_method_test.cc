// The seam itself, and the elementwise methods behind it.
#include "common/methods/merge_method.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/executor.h"
#include "common/methods/linear.h"

namespace merganser {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

TEST(GroupStatsTest, TotalAddsSumsElementByElement) {
  EXPECT_THAT(GroupStats().Total(), IsEmpty());
  GroupStats stats;
  stats.leaves.resize(4);
  stats.leaves[0].sums = {1, 2};
  stats.leaves[2].sums = {10, 20, 3};
  stats.leaves[3].sums = {100};
  EXPECT_THAT(stats.Total(), ElementsAre(111, 22, 3));
}

TEST(AddCountsTest, MergesHistogramsByKey) {
  Counts counts = {{1, 5}, {4, 1}, {9, 2}};
  AddCounts({{0, 7}, {4, 3}, {10, 1}}, counts);
  EXPECT_THAT(counts, ElementsAre(Pair(0, 7), Pair(1, 5), Pair(4, 4), Pair(9, 2), Pair(10, 1)));
  AddCounts({}, counts);
  EXPECT_EQ(counts.size(), 5u);
  Counts empty;
  AddCounts({}, empty);
  EXPECT_THAT(empty, IsEmpty());
  AddCounts(counts, empty);
  EXPECT_EQ(empty, counts);
}

TEST(AddCountsTest, AddingEqualOnesDoubles) {
  const Counts once = {{3, 2}};
  Counts twice = once;
  AddCounts(once, twice);
  EXPECT_THAT(twice, ElementsAre(Pair(3, 4)));
}

TEST(OverflowStatusTest, NamesElementAndType) {
  Leaf leaf;
  leaf.first_element = 2 * kLeafElements;
  EXPECT_TRUE(OverflowStatus(leaf, std::nullopt, DType::kF16).ok());
  const absl::Status status = OverflowStatus(leaf, 42, DType::kF16);
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("element 2097194 "), HasSubstr("F16")));
}

// One float32 leaf with a base and experts of equal size.
class FloatLeaf {
 public:
  FloatLeaf(std::vector<float> base, std::vector<std::vector<float>> experts)
      : base_(std::move(base)), experts_(std::move(experts)) {
    for (const auto& expert : experts_) views_.push_back(View(expert));
  }

  absl::StatusOr<std::vector<float>> Apply(const MergeMethod& method) {
    std::vector<float> out(experts_[0].size());
    const absl::Status status =
        ApplyTo(method, {reinterpret_cast<std::byte*>(out.data()), DType::kF32, out.size()});
    if (!status.ok()) return status;
    return out;
  }

  absl::Status ApplyTo(const MergeMethod& method, MutableTensorView out) {
    const TensorSpec spec{"t", {experts_[0].size()}};
    const absl::StatusOr<TensorNeeds> needs = method.Needs(spec);
    if (!needs.ok()) return needs.status();
    Leaf leaf;
    leaf.tensor = &spec;
    leaf.needs = &*needs;
    leaf.rows = 1;
    leaf.cols = static_cast<int64_t>(out.size);
    if (needs->reads_base) leaf.base = View(base_);
    leaf.experts = views_;
    SerialExecutor executor;
    ReportFields report;
    return method.Apply(leaf, {}, {}, out, report, executor);
  }

 private:
  static TensorView View(const std::vector<float>& values) {
    return {reinterpret_cast<const std::byte*>(values.data()), DType::kF32, values.size()};
  }

  std::vector<float> base_;
  std::vector<std::vector<float>> experts_;
  std::vector<TensorView> views_;
};

TEST(LinearTest, SumsModelsByWeightAndDivides) {
  FloatLeaf leaf({}, {{1, 2, -3}, {5, 0.5, 8}});
  EXPECT_THAT(*leaf.Apply(*MakeLinear({0.25, 0.75}, 1)), ElementsAre(4, 0.875, 5.25));
  EXPECT_THAT(*leaf.Apply(*MakeLinear({1, 3}, 4)), ElementsAre(4, 0.875, 5.25));
  EXPECT_THAT(*leaf.Apply(*MakeLinear({-1, 1}, 1)), ElementsAre(4, -1.5, 11));
}

TEST(LinearTest, RoundsOnceFromFloat64) {
  // In float32, (2^24 + 1) + -2^24 is 0 or 2, and 1/3 of three times 0.1 is off.
  FloatLeaf leaf({}, {{16777216, 0.1F}, {1, 0.1F}, {-16777216, 0.1F}});
  EXPECT_THAT(*leaf.Apply(*MakeLinear({1, 1, 1}, 1)),
              ElementsAre(1, static_cast<float>(3 * static_cast<double>(0.1F))));
  EXPECT_THAT(*leaf.Apply(*MakeLinear({1, 1, 1}, 3)),
              ElementsAre(static_cast<float>(1.0 / 3), 0.1F));
}

TEST(LinearTest, DoesNotReadTheBaseAndSplitsByElements) {
  const absl::StatusOr<TensorNeeds> needs = MakeLinear({1}, 1)->Needs({"lm_head.weight", {4, 4}});
  ASSERT_TRUE(needs.ok());
  EXPECT_FALSE(needs->reads_base);
  EXPECT_EQ(needs->split, Split::kElements);
  EXPECT_EQ(needs->rounds, 0);
  EXPECT_EQ(needs->mode, "linear");
}

TEST(LinearTest, ReportsTheFirstElementThatOverflows) {
  FloatLeaf leaf({}, {{1, 60000, 40000, 60000}, {1, 5000, 40000, 60000}});
  std::vector<uint16_t> half(4);
  const absl::Status status = leaf.ApplyTo(
      *MakeLinear({1, 1}, 1), {reinterpret_cast<std::byte*>(half.data()), DType::kF16, 4});
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("element 2 "), HasSubstr("F16")));
  // 65000 rounds to the largest finite half and is no overflow.
  FloatLeaf fits({}, {{60000}, {5000}});
  EXPECT_TRUE(fits.ApplyTo(*MakeLinear({1, 1}, 1),
                           {reinterpret_cast<std::byte*>(half.data()), DType::kF16, 1})
                  .ok());
}

TEST(LinearTest, ASumThatOverflowsFloat64ItselfIsNotWritten) {
  FloatLeaf leaf({}, {{1, 2}, {1, 2}});
  std::vector<double> out(2);
  EXPECT_EQ(leaf.ApplyTo(*MakeLinear({1e308, 1e308}, 1),
                         {reinterpret_cast<std::byte*>(out.data()), DType::kF64, 2})
                .code(),
            absl::StatusCode::kOutOfRange);
}

TEST(LinearTest, HasNothingToAnalyze) {
  SerialExecutor executor;
  ReportFields report;
  EXPECT_FALSE(MakeLinear({1}, 1)->Analyze({}, 0, {}, executor).ok());
  EXPECT_FALSE(MakeLinear({1}, 1)->Reduce({}, 0, {}, {}, report).ok());
}

TEST(TaskArithmeticTest, AddsWeightedTaskVectors) {
  FloatLeaf leaf({1, 2, 3}, {{2, 2, 5}, {1, 0, 3}});
  EXPECT_THAT(*leaf.Apply(*MakeTaskArithmetic({1, 1}, 1)), ElementsAre(2, 0, 5));
  EXPECT_THAT(*leaf.Apply(*MakeTaskArithmetic({1, 2}, 0.5)), ElementsAre(1.5, 0, 4));
  EXPECT_THAT(*leaf.Apply(*MakeTaskArithmetic({3, -1}, 0)), ElementsAre(1, 2, 3));
}

TEST(TaskArithmeticTest, NeedsTheBase) {
  const absl::StatusOr<TensorNeeds> needs = MakeTaskArithmetic({1}, 1)->Needs({"t", {4}});
  ASSERT_TRUE(needs.ok());
  EXPECT_TRUE(needs->reads_base);
  EXPECT_EQ(needs->mode, "task_arithmetic");
}

TEST(TaskArithmeticTest, ReportsOverflow) {
  FloatLeaf leaf({0, 0}, {{0, 3e38F}, {0, 3e38F}});
  const absl::Status status = leaf.Apply(*MakeTaskArithmetic({1, 1}, 1)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("element 1 "), HasSubstr("F32")));
}

}  // namespace
}  // namespace merganser
