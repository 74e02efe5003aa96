// What a run writes, whatever its threads and memory.
#include "worker/unit_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "tests/worker/linear_job.h"
#include "tests/worker/worker_fixture.h"

namespace merganser {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

TEST(UnitRunnerTest, WritesTheSameBytesForAllThreadsAndBudgets) {
  const std::map<std::string, TinyCheckpoint> models = Models();
  std::map<std::string, std::string> expected;
  std::map<uint32_t, std::string> checksums;
  for (const int threads : {1, 2, 4}) {
    for (const uint64_t times : {1, 2, 50}) {
      SCOPED_TRACE(testing::Message() << threads << " threads, memory x" << times);
      TestJob job(kLinear, models);
      if (expected.empty()) {
        expected = ExpectedLinear(job.plan(), InOrder(models), kWeights, kDivisor);
        EXPECT_GT(job.plan().shards.size(), 1u);
        EXPECT_GT(job.plan().units.size(), 1u);
      }
      ScriptedSource source(job.context());
      const absl::Status status =
          RunUnits(source, Options(threads, job.plan().peak_leaf_memory * times));
      ASSERT_TRUE(status.ok()) << status;
      ASSERT_THAT(source.failures, IsEmpty());
      ASSERT_THAT(source.results, SizeIs(job.plan().units.size()));
      for (const auto& [unit, result] : source.results) {
        EXPECT_EQ(checksums.try_emplace(unit, result.Checksum()).first->second, result.Checksum());
      }
      ExpectSameFiles(job.Publish(source.results), expected);
    }
  }
}

// Every limit that a store may have, with the least memory that the plan promises to do with.
TEST(UnitRunnerTest, WhatIsWrittenDoesNotDependOnTheStore) {
  const std::map<std::string, TinyCheckpoint> models = Models();
  std::map<std::string, std::string> expected;
  const auto pieces = [](uint64_t least, uint64_t good, uint64_t most, uint64_t count) {
    return StoreTraits{.whole_pieces = true,
                       .least_piece = least,
                       .most_piece = most,
                       .most_pieces = count,
                       .good_piece = good};
  };
  constexpr uint64_t kMebi = 1 << 20;
  for (const StoreTraits& output :
       {StoreTraits(), pieces(1, 700, 3'000, 1 << 20), pieces(1'000, 1'000, 3'000, 1 << 20),
        pieces(20'000, 50'000, 100'000, 10'000), pieces(1, 1, 100 * kMebi, 7),
        pieces(kMebi, kMebi, 3 * kMebi, 100),
        pieces(5 * kMebi, 16 * kMebi, 5'120 * kMebi, 10'000)}) {
    for (const int threads : {1, 4}) {
      SCOPED_TRACE(testing::Message() << "pieces of " << output.good_piece << ", at least "
                                      << output.least_piece << ", " << threads << " threads");
      TestJob job(kLinear, models, output);
      if (expected.empty()) {
        expected = ExpectedLinear(job.plan(), InOrder(models), kWeights, kDivisor);
      }
      ScriptedSource source(job.context());
      const absl::Status status = RunUnits(source, Options(threads, job.plan().peak_leaf_memory));
      ASSERT_TRUE(status.ok()) << status;
      ASSERT_THAT(source.failures, IsEmpty());
      ExpectSameFiles(job.Publish(source.results), expected);
    }
  }
}

TEST(UnitRunnerTest, ASpectralMergeIsTheSameBytesForAllThreadsAndBudgets) {
  TinyCheckpoint base;
  base.tensors = {{"model.embed_tokens.weight", DType::kBF16, {100, 32}},
                  {"model.layers.0.self_attn.q_proj.weight", DType::kBF16, {96, 64}},
                  {"model.layers.0.self_attn.q_proj.bias", DType::kBF16, {96}},
                  {"model.layers.0.mlp.experts.up_proj", DType::kBF16, {5, 48, 40}},
                  {"model.layers.0.mlp.gate.weight", DType::kF32, {5, 64}}};
  base.seed = kSeed;
  std::map<std::string, TinyCheckpoint> models = {{"base", base}, {"a", base}, {"b", base}};
  models["a"].seed = kSeed + 1;
  models["b"].seed = kSeed + 2;
  const std::string_view recipe =
      "merge_method: resmerge\nbase_model: base\nmodels: [a, b]\nmax_shard_size: 20000\n";
  std::map<std::string, std::string> expected;
  for (const int threads : {1, 3}) {
    for (const uint64_t times : {1, 20}) {
      SCOPED_TRACE(testing::Message() << threads << " threads, memory x" << times);
      TestJob job(recipe, models);
      ScriptedSource source(job.context());
      ASSERT_TRUE(RunUnits(source, Options(threads, job.plan().peak_leaf_memory * times)).ok());
      ASSERT_THAT(source.failures, IsEmpty());
      const std::map<std::string, std::string> files = job.Publish(source.results);
      if (expected.empty()) expected = files;
      ExpectSameFiles(files, expected);

      // One report a spectral leaf: q_proj, five experts, gate.
      std::map<std::string, std::vector<uint64_t>> leaves;
      for (const auto& [unit, result] : source.results) {
        EXPECT_TRUE(std::is_sorted(result.leaves.begin(), result.leaves.end(),
                                   [](const LeafReport& x, const LeafReport& y) {
                                     return std::pair(x.tensor, x.leaf) <
                                            std::pair(y.tensor, y.leaf);
                                   }));
        for (const LeafReport& leaf : result.leaves) {
          leaves[job.plan().tensors[leaf.tensor].spec.name].push_back(leaf.leaf);
          EXPECT_THAT(leaf.fields,
                      testing::Contains(testing::Field(&ReportField::key, "coherence")));
        }
      }
      EXPECT_THAT(leaves, SizeIs(3));
      EXPECT_THAT(leaves["model.layers.0.mlp.experts.up_proj"],
                  testing::ElementsAre(0, 1, 2, 3, 4));
    }
  }
}

TEST(UnitRunnerTest, AWideUnitRunsInBudgetOfOneSegment) {
  // Several segments a unit: memory for one at a time is enough.
  TinyCheckpoint model;
  for (int t = 0; t < 6; ++t) {
    model.tensors.push_back({absl::StrCat("w", t), DType::kF32, {kLeafElements}});
  }
  TestJob job("merge_method: linear\nmodels: [a]\nparameters: {weight: 1}\n", {{"a", model}});
  ASSERT_EQ(job.plan().units.size(), 2u);
  ScriptedSource source(job.context());
  ASSERT_TRUE(RunUnits(source, Options(4, job.plan().peak_leaf_memory)).ok());
  EXPECT_THAT(source.failures, IsEmpty());
  ExpectSameFiles(job.Publish(source.results), ExpectedLinear(job.plan(), {model}, {1}, 1));
}

// Fills nothing; its two blocks wait for each other.
class MeetingMethod final : public MergeMethod {
 public:
  std::string_view name() const override { return "meeting"; }
  absl::StatusOr<TensorNeeds> Needs(const TensorSpec&) const override { return TensorNeeds(); }
  absl::StatusOr<Analysis> Analyze(const Leaf&, int, const Gate&, Executor&) const override {
    return absl::InternalError("no rounds");
  }
  absl::StatusOr<Gate> Reduce(const TensorNeeds&, int, const Gate&, const GroupStats&,
                              ReportFields&) const override {
    return absl::InternalError("no rounds");
  }
  absl::Status Apply(const Leaf&, const Gate&, const Keepsake&, MutableTensorView, ReportFields&,
                     Executor& executor) const override {
    executor.ParallelFor(2, [this](size_t) {
      MutexLock lock(mutex_);
      ++here_;
      changed_.NotifyAll();
      const MonotonicTime end = SystemClock().Now() + std::chrono::seconds(20);
      while (here_ < 2 && SystemClock().Now() < end) {
        changed_.WaitFor(mutex_, std::chrono::milliseconds(100));
      }
    });
    MutexLock lock(mutex_);
    return here_ == 2 ? absl::OkStatus() : absl::InternalError("nobody came");
  }

 private:
  mutable Mutex mutex_;
  mutable CondVar changed_;
  mutable int here_ MERGANSER_GUARDED_BY(mutex_) = 0;
};

// Threads went home when nothing was left to read, and the last matrices of a
// run were computed by one thread each.
TEST(UnitRunnerTest, TheLastSegmentHasTheHelpOfEveryThread) {
  for (int round = 0; round < 20; ++round) {
    TinyCheckpoint model;
    model.tensors = {{"w", DType::kF32, {16}}};
    TestJob job("merge_method: linear\nmodels: [a]\nparameters: {weight: 1}\n", {{"a", model}});
    job.context()->methods = PlanMethods(std::make_shared<MeetingMethod>());
    ScriptedSource source(job.context());
    ASSERT_TRUE(RunUnits(source, Options(2, uint64_t{1} << 30)).ok());
    ASSERT_TRUE(source.failures.empty()) << source.failures.begin()->second;
  }
}

TEST(UnitRunnerTest, NoUnitsNoWork) {
  TestJob job(kLinear, Models());
  ScriptedSource source(job.context());
  source.error_after = 0;
  source.next_error = absl::UnavailableError("gone");
  EXPECT_EQ(RunUnits(source, Options(2, uint64_t{1} << 30)), absl::UnavailableError("gone"));
  EXPECT_THAT(source.results, IsEmpty());
  EXPECT_THAT(job.output().Calls(StoreOp::kWriteRange), IsEmpty());
}

TEST(UnitRunnerTest, AnErrorOfTheSourceEndsTheRunAfterTheUnitsInFlight) {
  TestJob job(kLinear, Models());
  ASSERT_GT(job.plan().units.size(), 2u);
  ScriptedSource source(job.context());
  source.error_after = 2;
  source.next_error = absl::UnavailableError("coordinator gone");
  EXPECT_EQ(RunUnits(source, Options(2, uint64_t{1} << 30)),
            absl::UnavailableError("coordinator gone"));
  EXPECT_THAT(source.results, SizeIs(2));
  EXPECT_THAT(source.failures, IsEmpty());
}

TEST(UnitRunnerTest, ARevokedUnitIsDroppedWithoutFurtherWord) {
  TestJob job(kLinear, Models());
  ScriptedSource source(job.context());
  const uint32_t lost = job.UnitOf("large");
  source.revoked = {lost};
  ASSERT_TRUE(RunUnits(source, Options(2, uint64_t{1} << 30)).ok());
  EXPECT_THAT(source.failures, IsEmpty());
  EXPECT_FALSE(source.results.contains(lost));
  EXPECT_THAT(source.results, SizeIs(job.plan().units.size() - 1));
}

TEST(UnitRunnerTest, EveryUnitMayBeRevoked) {
  TestJob job(kLinear, Models());
  ScriptedSource source(job.context());
  for (uint32_t u = 0; u < job.plan().units.size(); ++u) source.revoked.insert(u);
  ASSERT_TRUE(RunUnits(source, Options(4, job.plan().peak_leaf_memory)).ok());
  EXPECT_THAT(source.failures, IsEmpty());
  EXPECT_THAT(source.results, IsEmpty());
  // Noticed when a segment was read, before any of it was computed.
  EXPECT_THAT(job.output().Calls(StoreOp::kWriteRange), IsEmpty());
}

TEST(MakeJobContextTest, OpensStoresAndMakesTheMethod) {
  TestJob job(kLinear, Models());
  const auto context = MakeJobContext("jobs/x", "x", job.plan(), "memory://worker-test-output",
                                      job.context()->writes);
  ASSERT_TRUE(context.ok()) << context.status();
  EXPECT_EQ((*context)->inputs.size(), 3u);
  EXPECT_EQ((*context)->methods->of(PlannedTensor()).name(), "linear");
  EXPECT_EQ((*context)->plan.digest, job.plan().digest);

  EXPECT_EQ(
      MakeJobContext("jobs/x", "x", job.plan(), "memory://worker-test-output", {}).status().code(),
      absl::StatusCode::kInternal);
  Plan future = job.plan();
  future.method.method = "future";
  EXPECT_EQ(
      MakeJobContext("jobs/x", "x", future, "memory://worker-test-output", job.context()->writes)
          .status()
          .code(),
      absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace merganser
