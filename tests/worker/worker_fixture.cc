#include "tests/worker/worker_fixture.h"

#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/alignment.h"
#include "common/checkpoint/checkpoint.h"
#include "common/engine/working_folder.h"
#include "common/methods/registry.h"
#include "common/plan/pieces.h"
#include "common/recipe/recipe.h"
#include "common/storage/memory/memory_store.h"
#include "common/storage/stores.h"

namespace merganser {
namespace {

double Decode(const char* at, DType dtype) {
  switch (dtype) {
    case DType::kF64: {
      double value;
      std::memcpy(&value, at, sizeof(value));
      return value;
    }
    case DType::kF32: {
      float value;
      std::memcpy(&value, at, sizeof(value));
      return value;
    }
    case DType::kBF16: {
      uint16_t bits;
      std::memcpy(&bits, at, sizeof(bits));
      return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
    }
    default:
      ADD_FAILURE() << "no such type in these tests";
      return 0;
  }
}

// Rounded once from float64, for values that are normal in every type.
void Encode(double value, DType dtype, std::string& out) {
  if (dtype == DType::kBF16) {
    const auto bits = std::bit_cast<uint64_t>(value);
    constexpr int kDropped = 52 - 7;
    const uint64_t odd = (bits >> kDropped) & 1;
    const uint64_t kept = (bits + ((uint64_t{1} << (kDropped - 1)) - 1) + odd) >> kDropped;
    value = std::bit_cast<double>(kept << kDropped);
    const uint32_t narrow = std::bit_cast<uint32_t>(static_cast<float>(value));
    const auto half = static_cast<uint16_t>(narrow >> 16);
    out.append(reinterpret_cast<const char*>(&half), sizeof(half));
  } else if (dtype == DType::kF32) {
    const auto narrow = static_cast<float>(value);
    out.append(reinterpret_cast<const char*>(&narrow), sizeof(narrow));
  } else {
    out.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
}

template <typename T>
T Must(absl::StatusOr<T> value) {
  EXPECT_TRUE(value.ok()) << value.status();
  return *std::move(value);
}

}  // namespace

TestJob::TestJob(std::string_view recipe_text, const std::map<std::string, TinyCheckpoint>& models,
                 const StoreTraits& output_traits,
                 const std::function<void(std::vector<Checkpoint>&)>& change) {
  static std::atomic<int> jobs = 0;
  const std::string place = absl::StrCat("memory://worker-test-", ++jobs, "-");
  const Recipe recipe = Must(ParseRecipe(recipe_text, "r.yaml"));
  const ResolvedMethod resolved =
      Must(ResolveMethod(recipe, [](const std::string& model) { return model; }));

  context_ = std::make_shared<JobContext>();
  std::vector<Checkpoint> checkpoints;
  for (const std::string& name : resolved.inputs()) {
    const std::shared_ptr<ObjectStore> store = Must(Stores().Open(place + name));
    const absl::Status written = WriteTinyCheckpoint(models.at(name), *store);
    EXPECT_TRUE(written.ok()) << written;
    checkpoints.push_back(Must(OpenCheckpoint(place + name, name)));
    inputs_.push_back(Wrap(store));
    context_->inputs.push_back(inputs_.back().calls);
  }
  std::vector<std::string> uris;
  for (const Checkpoint& checkpoint : checkpoints) uris.push_back(checkpoint.uri);
  if (change != nullptr) change(checkpoints);
  std::vector<const Checkpoint*> pointers;
  for (size_t i = 0; i < checkpoints.size(); ++i) {
    const Checkpoint& checkpoint = checkpoints[i];
    pointers.push_back(&checkpoint);
    if (checkpoint.uri != uris[i]) {
      inputs_[i] = Wrap(checkpoint.store);
      context_->inputs[i] = inputs_[i].calls;
    }
    context_->places.emplace_back();
    for (const CheckpointPlace& folder : checkpoint.places) {
      context_->places.back().push_back(folder.store);
    }
  }
  context_->job = "jobs/test";
  context_->uid = "test";
  context_->plan = Must(MakePlan(
      recipe, resolved, pointers,
      Must(AlignModels(pointers, SlicesOf(resolved), OptionsOf(resolved))), output_traits));
  context_->methods = Must(PlanMethods::Make(context_->plan));
  output_ = Wrap(MakeMemoryStore("output", output_traits));
  context_->output = output_.calls;
  const std::vector<std::vector<uint64_t>> ends = ShardPieceEnds(plan());
  for (size_t s = 0; s < ends.size(); ++s) {
    const PlannedShard& shard = plan().shards[s];
    context_->writes.push_back(Must(output().BeginWrite({shard.key, shard.size, ends[s]}, "test")));
  }
  const absl::Status recorded =
      RecordWrites(output(), "test", 1, WritesRecord::kBegun, context_->writes);
  EXPECT_TRUE(recorded.ok()) << recorded;
}

TestJob::Wrapped TestJob::Wrap(std::shared_ptr<ObjectStore> store) {
  Wrapped wrapped;
  wrapped.faults = std::make_shared<FaultStore>(std::move(store), 1);
  wrapped.calls = std::make_shared<RecordingStore>(wrapped.faults);
  return wrapped;
}

uint32_t TestJob::UnitOf(std::string_view tensor, uint64_t leaf) const {
  for (uint32_t u = 0; u < plan().units.size(); ++u) {
    for (const Segment& segment : plan().units[u].segments) {
      if (segment.header || plan().tensors[segment.tensor].spec.name != tensor) continue;
      if (segment.leaf_begin <= leaf && leaf < segment.leaf_end) return u;
    }
  }
  ADD_FAILURE() << "no unit has leaf " << leaf << " of " << tensor;
  return 0;
}

std::map<std::string, std::string> TestJob::Publish(const std::map<uint32_t, UnitResult>& results) {
  std::map<std::string, std::string> files;
  for (uint32_t s = 0; s < plan().shards.size(); ++s) {
    std::vector<WriteReceipt> receipts;
    for (const auto& [unit, result] : results) {
      if (plan().units[unit].shard != s) continue;
      receipts.insert(receipts.end(), result.receipts.begin(), result.receipts.end());
    }
    const absl::Status committed = output().CommitWrite(context_->writes[s], receipts);
    EXPECT_TRUE(committed.ok()) << committed;
    if (!committed.ok()) continue;
    std::string& bytes = files[plan().shards[s].key];
    bytes.resize(plan().shards[s].size);
    const absl::Status read = output().Read(
        plan().shards[s].key, 0, {reinterpret_cast<std::byte*>(bytes.data()), bytes.size()}, {});
    EXPECT_TRUE(read.ok()) << read;
  }
  return files;
}

std::map<std::string, TinyCheckpoint> TwoModels(int tensors, uint64_t elements) {
  TinyCheckpoint a;
  a.tensors.reserve(static_cast<size_t>(tensors));
  for (int t = 0; t < tensors; ++t) {
    a.tensors.push_back({absl::StrCat("w", t), DType::kF32, {elements}});
  }
  TinyCheckpoint b = a;
  b.seed = 2;
  return {{"a", a}, {"b", b}};
}

absl::StatusOr<std::optional<LeasedUnit>> ScriptedSource::Next() {
  MutexLock lock(mutex_);
  if (next_ >= error_after) return next_error;
  if (next_ == job_->plan.units.size()) return std::nullopt;
  return LeasedUnit{job_, next_++, "token", 0, nullptr};
}

bool ScriptedSource::Progress(const LeasedUnit& unit, uint64_t bytes) {
  MutexLock lock(mutex_);
  progress[unit.unit] += bytes;
  return !revoked.contains(unit.unit);
}

void ScriptedSource::Complete(const LeasedUnit& unit, UnitResult result) {
  MutexLock lock(mutex_);
  EXPECT_EQ(unit.unit, result.unit);
  EXPECT_EQ(unit.token, "token");
  EXPECT_FALSE(failures.contains(unit.unit)) << "unit " << unit.unit << " ended twice";
  EXPECT_TRUE(results.emplace(unit.unit, std::move(result)).second) << "unit ended twice";
}

void ScriptedSource::Fail(const LeasedUnit& unit, absl::Status status) {
  MutexLock lock(mutex_);
  EXPECT_FALSE(status.ok());
  EXPECT_FALSE(results.contains(unit.unit)) << "unit " << unit.unit << " ended twice";
  EXPECT_TRUE(failures.emplace(unit.unit, std::move(status)).second) << "unit ended twice";
}

RunnerOptions Options(int threads, uint64_t memory) {
  RunnerOptions options;
  options.threads = threads;
  options.memory = memory;
  options.worker = "tester";
  return options;
}

std::map<std::string, std::string> ExpectedLinear(const Plan& plan,
                                                  const std::vector<TinyCheckpoint>& models,
                                                  const std::vector<double>& weights,
                                                  double divisor) {
  std::map<std::string, std::string> files;
  for (const PlannedShard& shard : plan.shards) files[shard.key] = shard.header;
  for (const PlannedTensor& tensor : plan.tensors) {
    std::vector<std::string> stored;
    std::vector<DType> dtypes;
    for (const TinyCheckpoint& model : models) {
      for (const TinyTensor& candidate : model.tensors) {
        if (candidate.name != tensor.spec.name) continue;
        stored.push_back(TinyBytes(candidate, model.seed));
        dtypes.push_back(candidate.dtype);
      }
    }
    std::string& out = files[plan.shards[tensor.shard].key];
    EXPECT_EQ(out.size(), tensor.offset) << tensor.spec.name;
    if (tensor.needs.mode == "copy") {
      out += stored[0];
      continue;
    }
    for (uint64_t e = 0; e < tensor.elements; ++e) {
      double sum = 0;
      for (size_t m = 0; m < models.size(); ++m) {
        const double value = Decode(stored[m].data() + e * BytesPerElement(dtypes[m]), dtypes[m]);
        sum = std::fma(weights[m], value, sum);
      }
      Encode(sum / divisor, tensor.dtype, out);
    }
  }
  return files;
}

}  // namespace merganser
