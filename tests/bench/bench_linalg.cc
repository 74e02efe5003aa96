// The top-1 split of a bf16 task vector, ours beside LAPACK's sgesdd and
// Spectra, in one run.
//
// Workloads: {896 x 896, 4864 x 896, 3584 x 3584, 18944 x 3584}, each
//   separated: one direction three times above the edge of Gaussian-like noise
//   white:     that noise alone; neighbouring singular values differ by about
//              0.1 %, so the head is ill-defined, and every solver finds it hard
// Solvers:
//   ours     ComputeTopK on bf16 base and expert, 2 threads, certificate included
//   sgesdd   all singular triplets in float32, OpenBLAS on 2 threads (large: one iteration)
//   spectra  PartialSVDSolver in float64, 1 thread
// Then the streaming kernels over three experts, in bytes read a second.
//
// A table of best times and ratios follows the run. Restrict it with
// --benchmark_filter, for instance --benchmark_filter='896x896|3584x3584'.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/executor.h"
#include "common/linalg/kernels.h"
#include "common/linalg/random_block.h"
#include "common/linalg/top_k.h"
#include "common/tensor/float_codec.h"
#include "tests/bench/bench_yardsticks.h"

namespace merganser::bench {
namespace {

struct Shape {
  int64_t rows, cols;
  std::string Name() const { return std::to_string(rows) + "x" + std::to_string(cols); }
};

// Sum of uniforms, variance 1.
double Noise(uint64_t stream, uint64_t i) {
  double sum = 0;
  for (uint64_t j = 0; j < 3; ++j) sum += linalg::RandomEntry(7, stream, 3 * i + j);
  return sum;
}

struct Pair {
  Shape shape;
  bool separated;
  std::vector<uint16_t> base, expert;

  TensorView View(const std::vector<uint16_t>& v) const {
    return {reinterpret_cast<const std::byte*>(v.data()), DType::kBF16, v.size()};
  }
  TaskVector Delta() const { return {View(base), View(expert), shape.rows, shape.cols}; }
  template <class T>
  std::vector<T> Dense() const {
    std::vector<T> delta(base.size());
    for (size_t i = 0; i < delta.size(); ++i) {
      delta[i] = static_cast<T>(Bf16ToFloat(expert[i]) - Bf16ToFloat(base[i]));
    }
    return delta;
  }
};

// One pair at a time is kept: the largest is 272 MB.
const Pair& GetPair(Shape shape, bool separated) {
  static Pair pair{};
  if (pair.shape.rows == shape.rows && pair.shape.cols == shape.cols &&
      pair.separated == separated) {
    return pair;
  }
  pair = Pair{shape, separated, {}, {}};
  const auto m = static_cast<uint64_t>(shape.rows), n = static_cast<uint64_t>(shape.cols);
  pair.base.resize(m * n);
  pair.expert.resize(m * n);
  const double noise = 2e-4;
  const double edge =
      noise * (std::sqrt(static_cast<double>(m)) + std::sqrt(static_cast<double>(n)));
  const double head =
      separated ? 3 * edge / std::sqrt(static_cast<double>(m) * static_cast<double>(n)) : 0;
  std::vector<double> v(n);
  for (uint64_t j = 0; j < n; ++j) v[j] = Noise(1, j);
  for (uint64_t i = 0; i < m; ++i) {
    const double u = head * Noise(2, i);
    for (uint64_t j = 0; j < n; ++j) {
      const uint64_t e = i * n + j;
      pair.base[e] = DoubleToBf16(0.02 * Noise(3, e));
      pair.expert[e] = DoubleToBf16(static_cast<double>(Bf16ToFloat(pair.base[e])) +
                                    noise * Noise(4, e) + u * v[j]);
    }
  }
  return pair;
}

void Ours(benchmark::State& state, Shape shape, bool separated) {
  const Pair& pair = GetPair(shape, separated);
  ThreadPool pool(1);
  TopKResult result;
  for (auto _ : state) result = ComputeTopK(pair.Delta(), {}, pool).value();
  state.counters["steps"] = result.steps;
  state.counters["passes"] = result.passes;
  state.counters["gap"] = result.gap_ratio;
  state.counters["sigma"] = result.triplets.sigma[0];
  state.counters["outcome"] = static_cast<double>(result.outcome);
}

void Gesdd(benchmark::State& state, Shape shape, bool separated) {
  const std::vector<float> delta = GetPair(shape, separated).Dense<float>();
  SetBlasThreads(2);
  float sigma = 0;
  for (auto _ : state) sigma = GesddLargest(delta, shape.rows, shape.cols);
  state.counters["sigma"] = static_cast<double>(sigma);
}

void Spectra(benchmark::State& state, Shape shape, bool separated) {
  const std::vector<double> delta = GetPair(shape, separated).Dense<double>();
  double sigma = 0;
  for (auto _ : state) sigma = SpectraLargest(delta, shape.rows, shape.cols);
  state.counters["sigma"] = sigma;
}

enum class Kernel { kFindNonFinite, kMean, kGram, kCombine };

void Stream(benchmark::State& state, Kernel kernel) {
  const Shape shape{3584, 3584};
  const Pair& pair = GetPair(shape, true);
  ThreadPool pool(1);
  const Triplets head = ComputeTopK(pair.Delta(), {}, pool).value().triplets;
  const std::vector<TensorView> experts(3, pair.View(pair.expert));
  const std::vector<Triplets> heads(3, head);
  const std::vector<double> weights = {0.3, 0.4, 0.5};
  std::vector<uint16_t> out(pair.base.size());
  const MutableTensorView to{reinterpret_cast<std::byte*>(out.data()), DType::kBF16, out.size()};
  const TensorView base = pair.View(pair.base);
  size_t tensors = 4;
  for (auto _ : state) {
    switch (kernel) {
      case Kernel::kFindNonFinite:
        tensors = 1;
        benchmark::DoNotOptimize(FindNonFinite(base, pool));
        break;
      case Kernel::kMean:
        tensors = 3;
        WeightedSum(experts, weights, 3, to, pool);
        break;
      case Kernel::kGram:
        benchmark::DoNotOptimize(ResidualGram(base, experts, heads, shape.rows, shape.cols, pool));
        break;
      case Kernel::kCombine:
        CombineResiduals(base, experts, heads, shape.rows, shape.cols, weights, weights, to, pool);
        break;
    }
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) *
                          static_cast<int64_t>(tensors * base.bytes()));
}

// Prints as usual and keeps the best time of each name.
class Recorder : public benchmark::ConsoleReporter {
 public:
  using benchmark::ConsoleReporter::ConsoleReporter;
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration || run.error_occurred) continue;
      const double seconds = run.real_accumulated_time / static_cast<double>(run.iterations);
      const std::string name = run.run_name.function_name;
      const auto [it, added] = best_.emplace(name, seconds);
      if (!added) it->second = std::min(it->second, seconds);
    }
    ConsoleReporter::ReportRuns(runs);
  }
  double Best(const std::string& name) const {
    const auto it = best_.find(name);
    return it == best_.end() ? 0 : it->second;
  }

 private:
  std::map<std::string, double> best_;
};

}  // namespace
}  // namespace merganser::bench

int main(int argc, char** argv) {
  using namespace merganser::bench;  // NOLINT: a main
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const std::vector<Shape> shapes = {{896, 896}, {4864, 896}, {3584, 3584}, {18944, 3584}};
  std::vector<std::string> rows;
  for (const Shape& shape : shapes) {
    for (const bool separated : {true, false}) {
      const std::string name = shape.Name() + (separated ? "/separated" : "/white");
      rows.push_back(name);
      const bool large = shape.rows * shape.cols > 8'000'000;
      benchmark::RegisterBenchmark((name + "/ours").c_str(), Ours, shape, separated)
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime()
          ->Iterations(1)
          ->Repetitions(5);
      auto* gesdd =
          benchmark::RegisterBenchmark((name + "/sgesdd").c_str(), Gesdd, shape, separated)
              ->Unit(benchmark::kMillisecond)
              ->UseRealTime()
              ->Iterations(1);
      auto* spectra =
          benchmark::RegisterBenchmark((name + "/spectra").c_str(), Spectra, shape, separated)
              ->Unit(benchmark::kMillisecond)
              ->UseRealTime()
              ->Iterations(1);
      if (!large) {
        gesdd->Repetitions(3);
        spectra->Repetitions(3);
      }
    }
  }
  const std::pair<const char*, Kernel> kernels[] = {{"find_non_finite", Kernel::kFindNonFinite},
                                                    {"weighted_sum_3", Kernel::kMean},
                                                    {"residual_gram_3", Kernel::kGram},
                                                    {"combine_residuals_3", Kernel::kCombine}};
  for (const auto& [name, kernel] : kernels) {
    benchmark::RegisterBenchmark((std::string("kernel/") + name).c_str(), Stream, kernel)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  }
  Recorder recorder;
  benchmark::RunSpecifiedBenchmarks(&recorder);

  std::printf("\n%-24s %10s %10s %10s %8s %8s\n", "best of the run, ms", "ours", "sgesdd",
              "spectra", "x sgesdd", "x spectra");
  for (const std::string& row : rows) {
    const double ours = recorder.Best(row + "/ours");
    if (ours == 0) continue;
    const double gesdd = recorder.Best(row + "/sgesdd"), spectra = recorder.Best(row + "/spectra");
    std::printf("%-24s %10.1f %10.1f %10.1f %8.1f %8.1f\n", row.c_str(), ours * 1e3, gesdd * 1e3,
                spectra * 1e3, gesdd / ours, spectra / ours);
  }
  benchmark::Shutdown();
  return 0;
}
