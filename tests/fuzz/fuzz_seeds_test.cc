// Every fuzz target over its seeds, and over a few hundred of them that are damaged: so that
// targets and seeds keep up with what they are of. Fuzzing itself is tests/run.sh --fuzz.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/fuzz/mutations.h"
#include "tests/fuzz/seeds.h"
#include "tests/fuzz/targets.h"

#define MERGANSER_FUZZ_DECLARE(name) extern "C" int fuzz_##name(const uint8_t* data, size_t size);
MERGANSER_FUZZ_TARGETS(MERGANSER_FUZZ_DECLARE)

namespace merganser::fuzz {
namespace {

constexpr uint32_t kSeed = 20261130;
constexpr int kMutations = 300;
constexpr size_t kDeepened = 4;

struct Target {
  std::string name;
  int (*run)(const uint8_t* data, size_t size) = nullptr;
};

#define MERGANSER_FUZZ_TARGET(name) Target{#name, &fuzz_##name},
const std::vector<Target>& Targets() {
  static const std::vector<Target> targets = {MERGANSER_FUZZ_TARGETS(MERGANSER_FUZZ_TARGET)};
  return targets;
}

// A promise that is broken ends the process; the last line says which.
class FuzzTargetTest : public testing::TestWithParam<Target> {
 protected:
  void Run(const std::string& input) {
    // On the heap and no longer than it is, so that sanitizers see reads behind its end.
    const std::vector<uint8_t> bytes(input.begin(), input.end());
    EXPECT_EQ(GetParam().run(bytes.data(), bytes.size()), 0);
  }
  const std::vector<Seed> seeds_ = SeedsOf(MERGANSER_SOURCE, GetParam().name);
};

TEST_P(FuzzTargetTest, TakesItsSeeds) {
  Run("");
  for (const Seed& seed : seeds_) Run(seed.bytes);
}

TEST_P(FuzzTargetTest, KeepsItsPromisesForDamagedSeeds) {
  RecordProperty("seed", static_cast<int>(kSeed));
  std::mt19937 random(kSeed);
  for (int i = 0; i < kMutations; ++i) {
    const Seed& seed = seeds_[random() % seeds_.size()];
    const Seed& other = seeds_[random() % seeds_.size()];
    Run(Mutated(random, seed.bytes, other.bytes));
  }
}

// Trees of JSON that are walked by calls ended the process (generation_config.json).
TEST_P(FuzzTargetTest, TakesNestingThatIsDeeperThanAnyStack) {
  for (const Seed& seed : seeds_) {
    for (const std::string& input : Deepened(seed.bytes, kDeepened)) Run(input);
  }
}

INSTANTIATE_TEST_SUITE_P(All, FuzzTargetTest, testing::ValuesIn(Targets()),
                         [](const auto& tested) { return tested.param.name; });

TEST(FuzzSeeds, EveryFolderIsATargetsAndSmall) {
  std::set<std::string> names;
  for (const Target& target : Targets()) names.insert(target.name);
  uintmax_t bytes = 0;
  const std::filesystem::path folder = std::string(MERGANSER_SOURCE) + "/tests/fuzz/seeds";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_directory()) {
      EXPECT_TRUE(names.contains(entry.path().filename())) << entry.path();
    } else {
      bytes += entry.file_size();
    }
  }
  EXPECT_LT(bytes, 300'000u);
}

TEST(FuzzSeeds, MutationsAreTheSameEveryTimeAndDiffer) {
  std::mt19937 one(kSeed), two(kSeed);
  std::set<std::string> distinct;
  for (int i = 0; i < 100; ++i) {
    const std::string made = Mutated(one, "{\"a\": [1, 2]}", "xyz");
    EXPECT_EQ(made, Mutated(two, "{\"a\": [1, 2]}", "xyz"));
    distinct.insert(made);
  }
  EXPECT_GT(distinct.size(), 80u);
  const std::vector<std::string> deep = Deepened("{\"a\": 1, \"b1\": [2]}", 10);
  ASSERT_EQ(deep.size(), 2u);
  EXPECT_TRUE(deep[0].starts_with("{\"a\": [[["));
  EXPECT_TRUE(deep[1].ends_with("}}}]}"));
}

}  // namespace
}  // namespace merganser::fuzz
