// Gram matrices against scalar sums.
#include "common/linalg/gram.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "common/base/executor.h"
#include "tests/common/linalg/linalg_testing.h"

namespace merganser {
namespace {

TEST(Gram, EqualsTheScalarSumsOfTensorsAndOfTaskVectors) {
  ThreadPool pool(1);
  for (const DType dtype : kFloats) {
    for (const uint64_t size : {0, 1, 15, 16, 17, 511, 513, 65536, 65537, 200001}) {
      const Tensor base(dtype, RandomValues(9, size), 1);
      const std::vector<Tensor> tensors = {Tensor(dtype, RandomValues(1, size), 1),
                                           Tensor(DType::kF32, RandomValues(2, size), 0),
                                           Tensor(dtype, RandomValues(3, size), 3)};
      std::vector<TensorView> views;
      for (const Tensor& t : tensors) views.push_back(t.View());
      for (const bool deltas : {false, true}) {
        const std::vector<double> gram = Gram(deltas ? base.View() : TensorView(), views, pool);
        ASSERT_EQ(gram.size(), TriangleSize(3));
        const TriangleView view{3, gram};
        for (size_t i = 0; i < 3; ++i) {
          for (size_t j = 0; j < 3; ++j) {
            long double sum = 0, terms = 0;
            for (uint64_t e = 0; e < size; ++e) {
              const long double from = deltas ? base.At(e) : 0;
              const long double term = (tensors[i].At(e) - from) * (tensors[j].At(e) - from);
              sum += term;
              terms += std::fabs(term);
            }
            ASSERT_NEAR(view(i, j), static_cast<double>(sum), 1e-14 * static_cast<double>(terms))
                << size << " elements, " << i << " " << j;
            ASSERT_EQ(view(i, j), view(j, i));
          }
        }
      }
    }
  }
}

// Two equal tensors, or opposite ones, must be seen as such.
TEST(Gram, OfEqualAndOppositeTensorsIsExact) {
  SerialExecutor serial;
  std::vector<double> values = RandomValues(4, 100'003), opposite = values;
  for (double& x : opposite) x = -x;
  const Tensor a(DType::kF64, values), b(DType::kF64, opposite, 3);
  const std::vector<TensorView> views = {a.View(), a.View(), b.View()};
  const std::vector<double> gram = Gram({}, views, serial);
  EXPECT_EQ(gram[0], gram[1]);
  EXPECT_EQ(gram[0], -gram[2]);
  EXPECT_EQ(gram[0], gram[3]);
  EXPECT_EQ(gram[0], gram[5]);
}

TEST(Gram, ARangeIsThatOfItsElementsAlone) {
  SerialExecutor serial;
  const Tensor a(DType::kBF16, RandomValues(5, 3000), 1), b(DType::kBF16, RandomValues(6, 3000), 1);
  const std::vector<TensorView> views = {a.View(), b.View()};
  const std::vector<TensorView> part = {a.View().Slice(701, 1300), b.View().Slice(701, 1300)};
  GramRange range(2);
  std::vector<double> found(TriangleSize(2));
  for (int twice = 0; twice < 2; ++twice) range.Compute({}, views, 701, 2001, found);
  EXPECT_EQ(found, Gram({}, part, serial));
}

TEST(Gram, TheSameBitsFromEveryInstructionSetAndThreadCount) {
  const Tensor a(DType::kBF16, RandomValues(7, 300'001), 1),
      b(DType::kF32, RandomValues(8, 300'001));
  const std::vector<TensorView> views = {a.View(), b.View()};
  SerialExecutor serial;
  ThreadPool pool(3);
  const std::vector<double> want = Gram(a.View(), views, serial);
  for (const std::string_view name : AvailableSimd()) {
    ASSERT_TRUE(ForceSimd(name).ok());
    EXPECT_EQ(Gram(a.View(), views, serial), want) << name;
    EXPECT_EQ(Gram(a.View(), views, pool), want) << name;
  }
  ASSERT_TRUE(ForceSimd(AvailableSimd().front()).ok());
}

}  // namespace
}  // namespace merganser
