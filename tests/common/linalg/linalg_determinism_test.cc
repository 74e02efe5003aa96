// The same bytes from every instruction set and every number of threads.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "common/base/executor.h"
#include "common/linalg/kernels.h"
#include "common/linalg/top_k.h"
#include "tests/common/linalg/linalg_testing.h"

namespace merganser {
namespace {

void Append(std::vector<unsigned char>& out, const void* data, size_t size) {
  const auto* p = static_cast<const unsigned char*>(data);
  out.insert(out.end(), p, p + size);
}
void Append(std::vector<unsigned char>& out, const std::vector<double>& v) {
  Append(out, v.data(), v.size() * sizeof(double));
}

// Every kernel and the solver over several shapes and dtypes; all that comes out.
std::vector<unsigned char> RunAll(Executor& executor) {
  struct {
    int64_t rows, cols;
    DType base, expert;
    int k;
  } const cases[] = {{301, 277, DType::kBF16, DType::kBF16, 1},
                     {64, 1500, DType::kBF16, DType::kF32, 2},
                     {2100, 97, DType::kF16, DType::kF16, 5},
                     {150, 160, DType::kF64, DType::kF32, 16},
                     {31, 33, DType::kF32, DType::kF32, 3}};
  std::vector<unsigned char> bytes;
  for (const auto& c : cases) {
    const auto size = static_cast<uint64_t>(c.rows * c.cols);
    std::vector<double> delta = RandomValues(3, size, 0.01);
    const std::vector<double> head =
        FromSpectrum(5, static_cast<size_t>(c.rows), static_cast<size_t>(c.cols), {2, 1.5, 0.5});
    for (uint64_t i = 0; i < size; ++i) delta[i] += head[i];
    const Problem p(c.base, c.expert, c.rows, c.cols, delta, 0.1);
    const Problem noise(c.base, c.expert, c.rows, c.cols, RandomValues(8, size, 0.01), 0.1);
    std::vector<Triplets> heads;
    for (const Problem* problem : {&p, &noise}) {
      const TopKResult r = ComputeTopK(problem->Delta(), {.k = c.k, .seed = 4}, executor).value();
      Append(bytes, r.triplets.sigma);
      Append(bytes, r.triplets.u);
      Append(bytes, r.triplets.v);
      Append(bytes, {r.sigma_next, r.gap_ratio, r.residual, r.vector_error,
                     static_cast<double>(r.steps), static_cast<double>(r.passes)});
      heads.push_back(r.triplets);
    }
    // Problem draws the same base twice.
    const std::vector<TensorView> experts = {p.expert.View(), noise.expert.View()};
    Append(bytes, ResidualGram(p.base.View(), experts, heads, c.rows, c.cols, executor));
    Append(bytes, HeadGram(heads));
    const std::vector<double> a = {0.3, 0.6}, b = {1, 0.1};
    for (const DType to : kFloats) {
      Tensor out(to, size, 1);
      CombineResiduals(p.base.View(), experts, heads, c.rows, c.cols, a, b, out.Mutable(),
                       executor);
      Append(bytes, out.View().data, out.View().bytes());
      WeightedSum(experts, a, 0.7, out.Mutable(), executor);
      Append(bytes, out.View().data, out.View().bytes());
      AddTaskVectors(p.base.View(), experts, a, 0.7, out.Mutable(), executor);
      Append(bytes, out.View().data, out.View().bytes());
    }
  }
  return bytes;
}

TEST(Determinism, SameBytesOnEveryInstructionSetAndThreadCount) {
  SerialExecutor serial;
  ThreadPool one(1), three(3);
  const std::vector<unsigned char> want = RunAll(serial);
  ASSERT_GT(want.size(), 1000000u);
  for (const std::string_view name : AvailableSimd()) {
    ASSERT_TRUE(ForceSimd(name).ok());
    EXPECT_TRUE(RunAll(serial) == want) << name << ", serial";
    EXPECT_TRUE(RunAll(one) == want) << name << ", 2 threads";
    EXPECT_TRUE(RunAll(three) == want) << name << ", 4 threads";
  }
  ASSERT_TRUE(ForceSimd(AvailableSimd().front()).ok());
}

}  // namespace
}  // namespace merganser
