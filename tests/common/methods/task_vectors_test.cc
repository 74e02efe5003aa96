// Methods that take task vectors give the same bits of them as of the weights that they come from,
// and those that look at weights say that they do not take them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "common/methods/registry.h"
#include "tests/common/methods/run_method.h"

namespace merganser {
namespace {

using ::testing::UnorderedElementsAre;

// Multiples of 2^-10: differences are exact, in any type of these tests.
std::vector<double> Grid(uint64_t seed, uint64_t size) {
  std::vector<double> values(size);
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (double& value : values) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    value = static_cast<double>(static_cast<int64_t>(state >> 52) - 2048) / 1024;
  }
  return values;
}

MethodRun RunOf(const MethodInfo& info, size_t models) {
  MethodRun run;
  run.shape = {24, 40};
  run.in = run.out = DType::kF32;
  if (info.base != BaseUse::kNone) run.base = Grid(1, 24 * 40);
  for (size_t i = 0; i < models; ++i) run.experts.push_back(Grid(2 + i, 24 * 40));
  return run;
}

TEST(TaskVectors, GiveWhatTheirWeightsGive) {
  std::set<std::string> taking;
  for (const MethodInfo& info : Methods()) {
    const size_t models = info.max_models == 1 ? 1 : 2;
    const auto method = MethodNamed(info.name, models);
    ASSERT_NE(method, nullptr) << info.name;
    MethodRun run = RunOf(info, models);
    const auto weights = RunMethod(*method, run);
    ASSERT_TRUE(weights.ok()) << info.name << ": " << weights.status();
    if (!weights->needs.takes_deltas) continue;
    ASSERT_TRUE(weights->needs.reads_base) << info.name;
    taking.insert(std::string(info.name));
    run.deltas = true;
    const auto deltas = RunMethod(*method, run);
    ASSERT_TRUE(deltas.ok()) << info.name << ": " << deltas.status();
    EXPECT_EQ(deltas->bytes, weights->bytes) << info.name;
    EXPECT_NE(deltas->values, run.base) << info.name << ": nothing was merged";
  }
  EXPECT_THAT(taking, UnorderedElementsAre("resmerge", "task_arithmetic", "ties", "dare_ties",
                                           "dare_linear", "della", "della_linear", "breadcrumbs",
                                           "breadcrumbs_ties", "sce", "ram", "ramplus_tl",
                                           "nuslerp", "multislerp", "model_stock"));
}

}  // namespace
}  // namespace merganser
