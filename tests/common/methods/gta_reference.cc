#include "tests/common/methods/gta_reference.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <utility>

namespace merganser {
namespace {

double L1(const Numbers& values) {
  double sum = 0;
  for (double value : values) sum += std::abs(value);
  return sum;
}

MethodRun MakeRun(size_t size, size_t experts, uint64_t seed, bool tied) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::uniform_int_distribution<int> few(-3, 3);
  MethodRun run;
  for (size_t e = 0; e < size; ++e) {
    // Multiples that tied task vectors are exact with.
    run.base.push_back(tied ? few(random) * 0.25 : normal(random));
  }
  for (size_t i = 0; i < experts; ++i) {
    Numbers expert = run.base;
    for (double& x : expert) {
      const double step = tied ? few(random) * 0.125 : 0.01 * normal(random);
      if (tied || random() % 3 != 0) x += step;
    }
    run.experts.push_back(std::move(expert));
  }
  return run;
}

}  // namespace

Numbers Evaluate(const ReferenceGta& gta, const Numbers& base,
                 const std::vector<Numbers>& experts) {
  const size_t n = base.size();
  std::vector<Numbers> weighted;
  double weight_sum = 0;
  for (size_t i = 0; i < experts.size(); ++i) {
    Numbers d(n), s(n);
    for (size_t e = 0; e < n; ++e) d[e] = s[e] = experts[i][e] - base[e];
    if (!gta.kept[i].empty()) {
      for (size_t e = 0; e < n; ++e) s[e] = gta.kept[i][e] ? d[e] : 0;
      const double before = L1(d), after = L1(s);
      if (gta.rescale && before >= 1e-7 && after >= 1e-7) {
        for (double& x : s) x *= before / after;
      }
    }
    for (double& x : s) x *= gta.weights[i];
    weighted.push_back(std::move(s));
    weight_sum += gta.weights[i];
  }
  Numbers out = base;
  for (size_t e = 0; e < n; ++e) {
    double votes = 0, merged = 0, divisor = 0;
    for (const Numbers& s : weighted) votes += s[e];
    for (size_t i = 0; i < experts.size(); ++i) {
      const double x = weighted[i][e];
      const bool agrees = votes >= 0 ? x > 0 : x < 0;
      if (gta.consensus && !agrees) continue;
      merged += x;
      divisor += gta.weights[i];
    }
    if (!gta.consensus) divisor = std::abs(weight_sum) < 1e-8 ? 1 : weight_sum;
    if (gta.normalize) merged /= divisor == 0 ? 1 : divisor;
    out[e] += gta.lambda * merged;
  }
  return out;
}

std::vector<size_t> ByMagnitude(const Numbers& base, const Numbers& expert) {
  std::vector<size_t> order(base.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return static_cast<float>(std::abs(expert[a] - base[a])) >
           static_cast<float>(std::abs(expert[b] - base[b]));
  });
  return order;
}

Kept KeptRanks(const Numbers& base, const Numbers& expert, size_t begin, size_t end) {
  const std::vector<size_t> order = ByMagnitude(base, expert);
  Kept kept(base.size());
  for (size_t r = begin; r < end; ++r) kept[order[r]] = true;
  return kept;
}

MethodRun RandomRun(size_t size, size_t experts, uint64_t seed) {
  return MakeRun(size, experts, seed, false);
}

MethodRun TiedRun(size_t size, size_t experts, uint64_t seed) {
  return MakeRun(size, experts, seed, true);
}

void ExpectMerges(const MergeMethod& method, MethodRun run, const Numbers& expected, bool exact) {
  const uint64_t size = expected.size();
  std::vector<uint64_t> cuts = {size};
  if (size > 1000) cuts.push_back(size < 10'000 ? 500 : 30'001);
  Numbers first;
  for (const uint64_t leaf_elements : cuts) {
    SCOPED_TRACE(testing::Message() << size << " elements, leaves of " << leaf_elements);
    run.leaf_elements = leaf_elements;
    run.helpers = 0;
    const absl::StatusOr<MethodResult> result = RunMethod(method, run);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_LE(result->rounds, result->needs.rounds);
    double worst = 0;
    for (size_t e = 0; e < size; ++e) {
      worst = std::max(worst, std::abs(result->values[e] - expected[e]));
    }
    EXPECT_LT(worst, 1e-13);
    // Threads never change a bit, also where sums depend on the leaves.
    run.helpers = 2;
    EXPECT_EQ(RunMethod(method, run)->values, result->values);
    if (first.empty()) first = result->values;
    if (exact) {
      EXPECT_EQ(result->values, first);
    }
  }
}

void ExpectKeepsTheBase(const MergeMethod& method, size_t experts) {
  MethodRun run;
  run.base = {0.0, -0.0, 1.5, -3, 1e-30, 1e30};
  run.experts.assign(experts, run.base);
  run.in = run.out = DType::kBF16;
  const absl::StatusOr<MethodResult> result = RunMethod(method, run);
  ASSERT_TRUE(result.ok()) << result.status();
  const Numbers base = RoundTo(DType::kBF16, run.base);
  for (size_t e = 0; e < base.size(); ++e) {
    EXPECT_EQ(result->values[e], base[e]) << e;
    EXPECT_EQ(std::signbit(result->values[e]), std::signbit(base[e])) << e;
  }
}

}  // namespace merganser
