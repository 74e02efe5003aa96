// What a run asks of storage: as much as the plan says, each byte once, together what lies
// together, and as much at a time as stores want.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/mutex.h"
#include "common/plan/requests.h"
#include "common/storage/forwarding_store.h"
#include "tests/worker/linear_job.h"
#include "tests/worker/worker_fixture.h"
#include "worker/unit_runner.h"

namespace merganser {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

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

}  // namespace
}  // namespace merganser
