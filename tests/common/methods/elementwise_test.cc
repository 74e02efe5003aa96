// nearswap and passthrough, and the loop below elementwise methods.
#include "common/methods/elementwise.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <vector>

#include "common/methods/nearswap.h"
#include "common/methods/passthrough.h"
#include "tests/common/methods/run_method.h"
#include "tests/common/methods/vectors.h"

namespace merganser {
namespace {

TEST(FillElementsTest, AsksForEveryElementOnceAndReportsTheFirstOverflow) {
  const uint64_t size = 200'001;
  std::vector<std::byte> bytes(2 * size + 1);
  const MutableTensorView out{bytes.data() + 1, DType::kF16, size};
  std::vector<std::atomic<int>> asked(size);
  ThreadPool pool(2);
  const auto first = FillElements(out, pool, [&](uint64_t begin, uint64_t count, double* values) {
    EXPECT_LE(count, kFillElements);
    for (uint64_t e = begin; e < begin + count; ++e) {
      ++asked[e];
      values[e - begin] = e == 150'000 || e == 70'003 ? 1e5 : 1;
    }
  });
  EXPECT_EQ(first, 70'003);
  EXPECT_EQ(asked[size - 1], 1);
  EXPECT_EQ(asked[0], 1);
  EXPECT_EQ(FillElements({bytes.data(), DType::kF16, 0}, pool, [](auto...) { FAIL(); }),
            std::nullopt);
}

MethodRun RunOf(Vector base, Vector expert) {
  MethodRun run;
  run.base = std::move(base);
  run.experts = {std::move(expert)};
  return run;
}

TEST(NearswapTest, MovesToTheModelWhereTheyNearlyAgree) {
  const absl::StatusOr<MethodResult> result =
      RunMethod(*MakeNearswap(0.5), RunOf({1, 1, 1, 1, -1, 0}, {1, 1.25, 1.5, 2, -3, -1e-9}));
  ASSERT_TRUE(result.ok());
  ExpectNear(result->values, {1, 1.25, 1.5, 1.5, -1.5, -1e-9}, 1e-16);
  EXPECT_EQ(result->values[5], -1e-9);
  EXPECT_EQ(result->needs.mode, "nearswap");
  EXPECT_EQ(result->rounds, 0);
}

TEST(NearswapTest, DifferencesBelowAMillionthCountAsOne) {
  const absl::StatusOr<MethodResult> result =
      RunMethod(*MakeNearswap(1e-7), RunOf({0, 0}, {1e-8, 1e-3}));
  ASSERT_TRUE(result.ok());
  EXPECT_NEAR(result->values[0], 1e-9, 1e-24);
  EXPECT_NEAR(result->values[1], 1e-7, 1e-21);
}

TEST(NearswapTest, AgreesWithItsDefinitionOverManyBlocks) {
  const Models models = MakeModels(150'000, 1, 3, 0.01);
  MethodRun run = RunOf(models.base, models.experts[0]);
  run.helpers = 2;
  const absl::StatusOr<MethodResult> result = RunMethod(*MakeNearswap(0.004), run);
  ASSERT_TRUE(result.ok());
  Vector expected(models.base.size());
  for (size_t e = 0; e < expected.size(); ++e) {
    const double a = models.base[e], b = models.experts[0][e];
    const double w = std::fmin(1, 0.004 / std::fmax(std::fabs(a - b), 1e-6));
    expected[e] = a + w * (b - a);
  }
  ExpectNear(result->values, expected, 1e-15);
}

TEST(NearswapTest, AtZeroNothingMovesAndEqualValuesKeepTheirBits) {
  MethodRun run = RunOf({1, 2, -0.0}, {3, 1, -0.0});
  EXPECT_EQ(RunMethod(*MakeNearswap(0), run)->values, run.base);
  const absl::StatusOr<MethodResult> result = RunMethod(*MakeNearswap(1e-9), run);
  EXPECT_TRUE(std::signbit(result->values[2]));
}

TEST(PassthroughTest, IsTheModelBitForBit) {
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32, DType::kF64}) {
    MethodRun run = RunOf({}, {-0.0, 0.0, 1.0 / 3, -65504, 6e-8});
    run.in = run.out = dtype;
    const absl::StatusOr<MethodResult> result = RunMethod(*MakePassthrough(1), run);
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->values, RoundTo(dtype, run.experts[0]));
    EXPECT_TRUE(std::signbit(result->values[0]));
    EXPECT_FALSE(std::signbit(result->values[1]));
    EXPECT_FALSE(result->needs.reads_base);
  }
}

TEST(PassthroughTest, ScalesAndSaysWhatOverflows) {
  MethodRun run = RunOf({}, {1, -3, 40000});
  run.in = run.out = DType::kF16;
  EXPECT_EQ(RunMethod(*MakePassthrough(-0.5), run)->values, (Vector{-0.5, 1.5, -20000}));
  const absl::Status status = RunMethod(*MakePassthrough(2), run).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_NE(status.message().find("element 2"), absl::string_view::npos);
}

}  // namespace
}  // namespace merganser
