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
#include "common/base/digest.h"
#include "common/base/metrics.h"
#include "common/base/mutex.h"
#include "common/plan/pieces.h"
#include "common/plan/requests.h"
#include "common/storage/forwarding_store.h"
#include "tests/worker/slow_store.h"
#include "tests/worker/worker_fixture.h"

namespace merganser {
namespace {

using testing::AllOf;
using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr uint64_t kSeed = 4;
constexpr std::string_view kLinear =
    "merge_method: linear\nmodels:\n"
    "- {model: a, parameters: {weight: 0.5}}\n"
    "- {model: b, parameters: {weight: 1.25}}\n"
    "- {model: c, parameters: {weight: -0.25}}\n"
    "max_shard_size: 3MiB\n";
const std::vector<double> kWeights = {0.5, 1.25, -0.25};
constexpr double kDivisor = 1.5;

// Small and large tensors, all kinds of shape, models that store them in
// different types and files.
std::map<std::string, TinyCheckpoint> Models() {
  TinyCheckpoint a;
  a.tensors = {{"first", DType::kBF16, {3}},
               {"large", DType::kBF16, {2 * kLeafElements + 12345}},
               {"scalar", DType::kF32, {}},
               {"empty", DType::kBF16, {0, 8}},
               {"ids", DType::kI64, {1001}, std::string(8008, '\7')},
               {"matrix", DType::kF32, {511, 1023}},
               {"wide", DType::kF64, {1, 77777}},
               {"odd", DType::kBF16, {1}},
               {"mask", DType::kBool, {13}, std::string(13, '\1')},
               {"last", DType::kF32, {5, 7, 11}}};
  a.seed = kSeed;
  TinyCheckpoint b = a, c = a;
  b.seed = kSeed + 1;
  b.shards = 3;
  c.seed = kSeed + 2;
  c.tensors[1].dtype = DType::kF32;
  c.tensors[5].dtype = DType::kBF16;
  std::reverse(c.tensors.begin(), c.tensors.end());
  return {{"a", a}, {"b", b}, {"c", c}};
}

std::vector<TinyCheckpoint> InOrder(const std::map<std::string, TinyCheckpoint>& models) {
  std::vector<TinyCheckpoint> list;
  for (const auto& [name, model] : models) list.push_back(model);
  return list;
}

// Names the first byte that differs instead of printing megabytes.
void ExpectSameFiles(const std::map<std::string, std::string>& found,
                     const std::map<std::string, std::string>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [key, bytes] : expected) {
    ASSERT_TRUE(found.contains(key)) << key;
    const std::string& other = found.at(key);
    ASSERT_EQ(other.size(), bytes.size()) << key;
    const auto at = std::mismatch(bytes.begin(), bytes.end(), other.begin()).first;
    EXPECT_EQ(at, bytes.end()) << key << " differs at byte " << at - bytes.begin();
  }
}

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

TEST(UnitRunnerTest, StorageIsAskedAsOftenAsThePlanSays) {
  TestJob job(kLinear, Models());
  const std::vector<StoreTraits> inputs(3);
  const StorageRequests expected = CountRequests(job.plan(), inputs);
  ScriptedSource source(job.context());
  ASSERT_TRUE(RunUnits(source, Options(2, uint64_t{1} << 30)).ok());
  uint64_t reads = 0;
  for (size_t model = 0; model < inputs.size(); ++model) {
    reads += job.input(model).Calls(StoreOp::kRead).size();
  }
  EXPECT_EQ(reads, expected.reads);
  const std::vector<StoreCall> writes = job.output().Calls(StoreOp::kWriteRange);
  EXPECT_EQ(writes.size(), expected.writes);
  // A store that wants its reads small is asked more often.
  const std::vector<StoreTraits> small(3, StoreTraits{.read_size = 1000});
  EXPECT_GT(CountRequests(job.plan(), small).reads, job.plan().bytes_read / 1000);
  if (!job.plan().output.whole_pieces) return;
  for (const StoreCall& write : writes) EXPECT_LE(write.size, expected.most_piece);
}

// Wants its reads small, as stores do that answer late.
class CutStore final : public ForwardingStore {
 public:
  explicit CutStore(std::shared_ptr<ObjectStore> wrapped) : ForwardingStore(std::move(wrapped)) {}
  StoreTraits traits() const override {
    StoreTraits traits = ForwardingStore::traits();
    traits.read_size = uint64_t{8} << 20;
    return traits;
  }
};

// As transformers have them: small tensors between large ones, in one order everywhere.
std::map<std::string, TinyCheckpoint> Neighbours() {
  TinyCheckpoint a;
  for (const char* layer : {"0", "1", "2"}) {
    a.tensors.push_back({absl::StrCat(layer, ".a_norm"), DType::kBF16, {641}});
    a.tensors.push_back({absl::StrCat(layer, ".b_bias"), DType::kBF16, {37}});
    a.tensors.push_back({absl::StrCat(layer, ".c_weight"), DType::kBF16, {1500, 641}});
    a.tensors.push_back({absl::StrCat(layer, ".d_weight"), DType::kBF16, {37, 641}});
  }
  a.seed = kSeed;
  TinyCheckpoint b = a, c = a;
  b.seed = kSeed + 1;
  c.seed = kSeed + 2;
  for (TinyTensor& tensor : c.tensors) tensor.dtype = DType::kF32;
  return {{"a", a}, {"b", b}, {"c", c}};
}

TEST(UnitRunnerTest, SmallNeighboursAreReadTogetherWhereStoresAnswerLate) {
  const auto models = Neighbours();
  for (const int threads : {1, 4}) {
    for (const bool tight : {false, true}) {
      SCOPED_TRACE(testing::Message() << threads << " threads" << (tight ? ", little memory" : ""));
      TestJob job(kLinear, models, StoreTraits());
      const auto expected = ExpectedLinear(job.plan(), InOrder(models), kWeights, kDivisor);
      for (auto& input : job.context()->inputs) input = std::make_shared<CutStore>(input);
      ScriptedSource source(job.context());
      const absl::Status status = RunUnits(
          source, Options(threads, tight ? job.plan().peak_leaf_memory : uint64_t{1} << 30));
      ASSERT_TRUE(status.ok()) << status;
      ASSERT_THAT(source.failures, IsEmpty());
      uint64_t reads = 0, bytes = 0;
      for (size_t model = 0; model < job.plan().models.size(); ++model) {
        reads += job.input(model).Calls(StoreOp::kRead).size();
        bytes += job.input(model).BytesRead();
      }
      EXPECT_EQ(bytes, job.plan().bytes_read);
      const std::vector<StoreTraits> inputs(job.plan().models.size());
      const uint64_t alone = CountRequests(job.plan(), inputs).reads;
      if (tight) {
        EXPECT_LE(reads, alone);
      } else {
        // One with each of the large ones, and one of what stands behind the last.
        EXPECT_EQ(alone, 3u * 12);
        EXPECT_LE(reads, 3u * (3 + job.plan().units.size()));
      }
      ExpectSameFiles(job.Publish(source.results), expected);
    }
  }
}

TEST(UnitRunnerTest, ReadsThatAreOneNameAllThatFailed) {
  TestJob job(kLinear, Neighbours(), StoreTraits());
  for (auto& input : job.context()->inputs) input = std::make_shared<CutStore>(input);
  job.input_faults(1).AddRule({.op = StoreOp::kRead,
                               .times = kEveryCall,
                               .status = absl::DataLossError("the file changed")});
  ScriptedSource source(job.context());
  ASSERT_TRUE(RunUnits(source, Options(2, uint64_t{1} << 30)).ok());
  ASSERT_FALSE(source.failures.empty());
  EXPECT_THAT(std::string(source.failures.begin()->second.message()),
              AllOf(HasSubstr("tensors "), HasSubstr(" to "), HasSubstr("the file changed")));
}

// Answers late: reads and writes wait for one another until `wanted` of a kind are in flight.
class LateStore final : public ForwardingStore {
 public:
  LateStore(std::shared_ptr<ObjectStore> wrapped, uint32_t wanted)
      : ForwardingStore(std::move(wrapped)), wanted_(wanted) {}

  StoreTraits traits() const override {
    StoreTraits traits = ForwardingStore::traits();
    traits.reads_in_flight = traits.writes_in_flight = wanted_;
    return traits;
  }

  uint32_t most() {
    MutexLock lock(mutex_);
    return most_;
  }

 private:
  absl::Status Around(const StoreRequest& request, Work work) override {
    if (request.op != StoreOp::kRead && request.op != StoreOp::kWriteRange) return work();
    {
      MutexLock lock(mutex_);
      most_ = std::max(most_, ++in_flight_);
      changed_.NotifyAll();
      // Those that come last wait in vain: no more than a few, and not long.
      while (most_ < wanted_ && waits_ < 2 * wanted_) {
        ++waits_;
        changed_.WaitFor(mutex_, std::chrono::milliseconds(100));
      }
    }
    const absl::Status done = work();
    MutexLock lock(mutex_);
    --in_flight_;
    return done;
  }

  const uint32_t wanted_;
  Mutex mutex_;
  CondVar changed_;
  uint32_t waits_ MERGANSER_GUARDED_BY(mutex_) = 0;
  uint32_t in_flight_ MERGANSER_GUARDED_BY(mutex_) = 0;
  uint32_t most_ MERGANSER_GUARDED_BY(mutex_) = 0;
};

TEST(UnitRunnerTest, AsManyRequestsAreInFlightAsStoresWantWhateverComputes) {
  const std::map<std::string, TinyCheckpoint> models = Models();
  TestJob job(kLinear, models);
  constexpr uint32_t kWanted = 8;
  const auto context = std::make_shared<JobContext>(*job.context());
  const auto input = std::make_shared<LateStore>(context->inputs[0], kWanted);
  const auto output = std::make_shared<LateStore>(context->output, kWanted);
  context->inputs[0] = input;
  context->output = output;
  ScriptedSource source(context);
  ASSERT_TRUE(RunUnits(source, Options(1, uint64_t{1} << 30)).ok());
  ASSERT_THAT(source.failures, IsEmpty());
  // One may wait for its turn, or for a place behind itself. Without being asked there are two.
  EXPECT_GE(input->most(), kWanted - 2);
  EXPECT_GE(output->most(), 2u);
  ExpectSameFiles(job.Publish(source.results),
                  ExpectedLinear(job.plan(), InOrder(models), kWeights, kDivisor));
}

TEST(UnitRunnerTest, ResultsTellWhatWasDone) {
  TestJob job(kLinear, Models());
  ScriptedSource source(job.context());
  ASSERT_TRUE(RunUnits(source, Options(2, uint64_t{1} << 30)).ok());
  const std::map<std::string, std::string> files = job.Publish(source.results);
  uint64_t read = 0, written = 0;
  for (const auto& [index, result] : source.results) {
    const Unit& unit = job.plan().units[index];
    EXPECT_EQ(result.worker, "tester");
    EXPECT_GE(result.seconds, 0);
    EXPECT_EQ(result.bytes_read, unit.bytes_in);
    EXPECT_EQ(result.bytes_written, unit.end - unit.begin);
    EXPECT_EQ(source.progress[index], unit.end - unit.begin);
    EXPECT_THAT(result.leaves, IsEmpty());
    read += result.bytes_read;
    written += result.bytes_written;
    ASSERT_EQ(result.segment_digests.size(), unit.segments.size());
    uint64_t at = unit.begin;
    std::vector<uint64_t> ends = UnitPieceEnds(job.plan(), unit);
    const std::string& file = files.at(job.plan().shards[unit.shard].key);
    for (size_t k = 0; k < unit.segments.size(); ++k) {
      EXPECT_EQ(result.segment_digests[k], DigestHex(file.substr(at, unit.segments[k].bytes_out)));
      at += unit.segments[k].bytes_out;
      if (!job.plan().output.whole_pieces) ends.push_back(at);
    }
    // In order: where ranges are free one a segment.
    ASSERT_EQ(result.receipts.size(), ends.size());
    uint64_t begin = unit.begin;
    for (size_t k = 0; k < ends.size(); ++k) {
      EXPECT_EQ(result.receipts[k].offset, begin);
      EXPECT_EQ(result.receipts[k].size, ends[k] - begin);
      begin = ends[k];
    }
  }
  EXPECT_EQ(read, job.plan().bytes_read);
  EXPECT_EQ(written, job.plan().bytes_written);
}

double ValueOf(const MetricRegistry& registry, std::string_view name,
               const std::vector<std::string>& labels = {}) {
  for (const MetricFamily& family : registry.Snapshot()) {
    if (family.name != name) continue;
    for (const MetricSample& sample : family.samples) {
      if (sample.labels == labels) return sample.value;
    }
  }
  ADD_FAILURE() << "no series of " << name;
  return -1;
}

TEST(UnitRunnerTest, ResultsTellWhereTheTimeWent) {
  constexpr auto kSlow = std::chrono::milliseconds(20);
  TestJob job(kLinear, Models());
  for (std::shared_ptr<ObjectStore>& input : job.context()->inputs) {
    input = std::make_shared<SlowStore>(input, StoreOp::kRead, kSlow);
  }
  std::shared_ptr<ObjectStore>& output = job.context()->output;
  output = std::make_shared<SlowStore>(output, StoreOp::kWriteRange, kSlow);
  ScriptedSource source(job.context());
  RunnerOptions options = Options(1, uint64_t{1} << 30);
  options.metrics = std::make_shared<MetricRegistry>();
  ASSERT_TRUE(RunUnits(source, options).ok());
  StageSeconds together;
  for (const auto& [index, result] : source.results) {
    EXPECT_GE(result.stages.write, 0.02 * static_cast<double>(result.receipts.size()) * 0.99);
    if (result.bytes_read > 0) {
      EXPECT_GE(result.stages.read, 0.02);
    }
    EXPECT_GT(result.stages.compute, 0);
    EXPECT_EQ(result.stages.flush, 0) << "is the source's business";
    together += result.stages;
  }
  // One thread writes what two readers bring: what is ready has to wait.
  EXPECT_GT(together.wait, 0);
  const auto spent = [&](const char* stage) {
    return ValueOf(*options.metrics, "merganser_worker_stage_seconds_total", {stage});
  };
  constexpr double kNear = 1e-3;
  EXPECT_NEAR(spent("wait"), together.wait, kNear);
  EXPECT_NEAR(spent("read"), together.read, kNear);
  EXPECT_NEAR(spent("compute"), together.compute, kNear);
  EXPECT_NEAR(spent("write"), together.write, kNear);
}

TEST(UnitRunnerTest, MetricsCountUnitsAndBytesByHowTheyEnded) {
  TestJob job(kLinear, Models());
  ScriptedSource source(job.context());
  source.revoked = {0};
  RunnerOptions options = Options(2, uint64_t{1} << 30);
  options.metrics = std::make_shared<MetricRegistry>();
  ASSERT_TRUE(RunUnits(source, options).ok());
  const auto units = [&](const char* state) {
    return ValueOf(*options.metrics, "merganser_worker_units_total", {state});
  };
  uint64_t read = 0, written = 0;
  for (const auto& [index, result] : source.results) {
    read += result.bytes_read;
    written += result.bytes_written;
  }
  EXPECT_EQ(units("completed"), static_cast<double>(source.results.size()));
  EXPECT_EQ(units("dropped"), 1);
  EXPECT_EQ(units("failed"), 0);
  EXPECT_EQ(ValueOf(*options.metrics, "merganser_worker_units_in_flight"), 0);
  EXPECT_GE(ValueOf(*options.metrics, "merganser_worker_input_bytes_total"),
            static_cast<double>(read));
  EXPECT_GE(ValueOf(*options.metrics, "merganser_worker_output_bytes_total"),
            static_cast<double>(written));
  EXPECT_EQ(ValueOf(*options.metrics, "merganser_worker_memory_budget_bytes"),
            static_cast<double>(uint64_t{1} << 30));
  EXPECT_EQ(ValueOf(*options.metrics, "merganser_worker_threads"), 2);
  EXPECT_THAT(options.metrics->problems(), IsEmpty());
}

TEST(UnitRunnerTest, MetricsCountUnitsThatFailAndTheSolversSteps) {
  TestJob failing(kLinear, Models());
  failing.input_faults(0).AddRule(
      {.op = StoreOp::kRead, .first = 1, .status = absl::UnavailableError("gone")});
  ScriptedSource failed(failing.context());
  RunnerOptions options = Options(1, uint64_t{1} << 30);
  options.metrics = std::make_shared<MetricRegistry>();
  ASSERT_TRUE(RunUnits(failed, options).ok());
  EXPECT_EQ(ValueOf(*options.metrics, "merganser_worker_units_total", {"failed"}),
            static_cast<double>(failed.failures.size()));
  EXPECT_GT(failed.failures.size(), 0u);
  EXPECT_EQ(ValueOf(*options.metrics, "merganser_worker_solver_steps_total"), 0);
}

TEST(UnitRunnerTest, ReadsEverySourceByteOnce) {
  TestJob job(kLinear, Models());
  ScriptedSource source(job.context());
  ASSERT_TRUE(RunUnits(source, Options(4, uint64_t{1} << 30)).ok());
  for (uint32_t m = 0; m < 3; ++m) {
    const PlannedModel& model = job.plan().models[m];
    std::map<std::string, std::vector<std::pair<uint64_t, uint64_t>>> read, wanted;
    for (const StoreCall& call : job.input(m).Calls(StoreOp::kRead)) {
      read[call.key].emplace_back(call.offset, call.size);
    }
    for (const PlannedTensor& tensor : job.plan().tensors) {
      for (const PlannedSource& place : tensor.sources) {
        if (place.model != m || tensor.elements == 0) continue;
        wanted[model.shards[place.shard].key].emplace_back(
            place.offset, tensor.elements * BytesPerElement(place.dtype));
      }
    }
    // Ranges that touch are one range: how reads were cut does not matter.
    const auto joined = [](std::vector<std::pair<uint64_t, uint64_t>> ranges) {
      std::sort(ranges.begin(), ranges.end());
      std::vector<std::pair<uint64_t, uint64_t>> out;
      for (const auto& [offset, size] : ranges) {
        if (!out.empty() && out.back().first + out.back().second == offset) {
          out.back().second += size;
        } else {
          out.emplace_back(offset, size);
        }
      }
      return out;
    };
    ASSERT_EQ(read.size(), wanted.size());
    for (const auto& [key, ranges] : wanted) EXPECT_EQ(joined(read[key]), joined(ranges)) << key;
  }
}

TEST(UnitRunnerTest, DoesNotReadABaseThatIsNotNeeded) {
  TinyCheckpoint model;
  model.tensors = {{"model.norm.weight", DType::kBF16, {64}}};
  TestJob job("merge_method: resmerge\nbase_model: base\nmodels: [a, b]\n",
              {{"base", model}, {"a", model}, {"b", model}});
  ScriptedSource source(job.context());
  ASSERT_TRUE(RunUnits(source, Options(1, uint64_t{1} << 30)).ok());
  EXPECT_THAT(job.input(0).Calls(), IsEmpty());
  EXPECT_THAT(job.input(1).Calls(StoreOp::kRead), SizeIs(1));
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
