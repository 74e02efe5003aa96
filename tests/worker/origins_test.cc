// Merges of adapters, from the base's file and theirs, against merges of models in which they were
// applied.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/linalg/kernels.h"
#include "tests/worker/update_testing.h"
#include "tests/worker/worker_fixture.h"
#include "worker/sources/in_process.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr uint64_t kSeed = 31;

struct Adapted {
  std::string name;  // of a tensor
  TestUpdate update;
};

// Larger than a leaf; rows that leaves cut; experts; a bias; two that no adapter changes.
TinyCheckpoint Base(DType dtype) {
  TinyCheckpoint base;
  base.tensors = {{"large.weight", dtype, {1100, 1003}},
                  {"experts.up_proj", dtype, {3, 40, 24}},
                  {"layer.bias", dtype, {77}},
                  {"norm.weight", dtype, {77}},
                  {"same.weight", dtype, {30, 20}}};
  base.seed = kSeed;
  return base;
}

std::vector<Adapted> Updates(uint64_t which) {
  return {
      {"large.weight", {1, 1100, 1003, {{4 + which, 0.5, DType::kBF16}}}},
      {"experts.up_proj",
       {3, 40, 24, {{2, 0.25, DType::kF32, FactorLayout::kInterleaved, FactorLayout::kRankFirst}}}},
      {"layer.bias",
       {1,
        77,
        1,
        {{1, 1, DType::kF32, FactorLayout::kRankLast, FactorLayout::kRankFirst, false}}}}};
}

std::vector<double> ValuesOf(const TinyCheckpoint& model, const std::string& name) {
  for (const TinyTensor& tensor : model.tensors) {
    if (tensor.name != name) continue;
    const std::string bytes = TinyBytes(tensor, model.seed);
    const TensorView view{reinterpret_cast<const std::byte*>(bytes.data()), tensor.dtype,
                          bytes.size() / BytesPerElement(tensor.dtype)};
    std::vector<double> values;
    for (uint64_t e = 0; e < view.size; ++e) values.push_back(ElementAt(view, e));
    return values;
  }
  ADD_FAILURE() << "no tensor " << name;
  return {};
}

// Experts "a" and "b": adapters on the base.
class AdapterJob {
 public:
  explicit AdapterJob(DType dtype = DType::kBF16) : base_(Base(dtype)) {
    for (uint64_t i = 0; i < 2; ++i) {
      files_.emplace_back(kSeed + 1 + i);
      std::vector<std::pair<std::string, LowRankUpdate>>& planned = planned_.emplace_back();
      for (const Adapted& adapted : Updates(i)) {
        planned.emplace_back(adapted.name, files_[i].Add(adapted.name, adapted.update, 1));
      }
    }
  }
  AdapterFile& file(size_t adapter) { return files_[adapter]; }

  // The checkpoint of the adapter is the base's own, in its folder.
  std::map<std::string, std::string> Merge(const std::string& recipe, int threads = 2,
                                           uint64_t memory = uint64_t{1} << 30) {
    TestJob job(recipe, {{"base", base_}, {"a", base_}, {"b", base_}}, TestTraits(),
                [&](std::vector<Checkpoint>& models) { Adapt(models); });
    bytes_read_ = job.plan().bytes_read;
    peak_ = job.plan().peak_leaf_memory;
    return Run(job, Options(threads, memory == 0 ? peak_ : memory));
  }

  // The same recipe of models whose weights are `W + D` as float32.
  std::map<std::string, std::string> MergeApplied(const std::string& recipe) {
    std::map<std::string, TinyCheckpoint> models = {{"base", base_}};
    for (size_t i = 0; i < 2; ++i) {
      TinyCheckpoint& model = models[i == 0 ? "a" : "b"] = base_;
      for (const Adapted& adapted : Updates(i)) {
        for (TinyTensor& tensor : model.tensors) {
          if (tensor.name != adapted.name) continue;
          tensor.bytes =
              EncodeTiny(DType::kF32, files_[i].Expected(adapted.name, adapted.update,
                                                         ValuesOf(base_, adapted.name), false));
          tensor.dtype = DType::kF32;
        }
      }
    }
    TestJob job(recipe, models);
    return Run(job, Options(2, uint64_t{1} << 30));
  }

  std::vector<double> Delta(size_t adapter, const std::string& tensor) const {
    for (const Adapted& adapted : Updates(adapter)) {
      if (adapted.name == tensor) return files_[adapter].Product(tensor, adapted.update);
    }
    return std::vector<double>(ValuesOf(base_, tensor).size());
  }

  const TinyCheckpoint& base() const { return base_; }
  // What the last merge's leaves reported as `key`, one behind the other.
  const std::vector<double>& measured(const std::string& key) { return measured_[key]; }
  uint64_t bytes_read() const { return bytes_read_; }
  uint64_t peak() const { return peak_; }
  // Of the last merge.
  const absl::Status& error() const { return error_; }

 private:
  // All rounds; no files after an error.
  std::map<std::string, std::string> Run(TestJob& job, const RunnerOptions& options) {
    InProcessSource source(job.context());
    const absl::Status status = RunUnits(source, options);
    EXPECT_TRUE(status.ok()) << status;
    absl::StatusOr<std::vector<UnitResult>> results = source.TakeResults();
    error_ = results.status();
    if (!results.ok()) return {};
    measured_.clear();
    for (const UnitResult& result : *results) {
      for (const LeafReport& leaf : result.leaves) {
        for (const ReportField& field : leaf.fields) {
          std::vector<double>& all = measured_[field.key];
          all.insert(all.end(), field.values.begin(), field.values.end());
        }
      }
    }
    std::map<uint32_t, UnitResult> by_unit;
    for (UnitResult& result : *results) by_unit.emplace(result.unit, std::move(result));
    return job.Publish(by_unit);
  }

  // Turns "a" and "b" into the base's files and their adapters'.
  void Adapt(std::vector<Checkpoint>& models) {
    const auto base = std::find_if(models.begin(), models.end(),
                                   [](const Checkpoint& m) { return m.given == "base"; });
    const Checkpoint& from = base == models.end() ? models[0] : *base;
    for (Checkpoint& model : models) {
      if (model.given == "base") continue;
      const size_t i = model.given == "a" ? 0 : 1;
      model.uri = from.uri;
      model.store = from.store;
      model.shards = from.shards;
      std::vector<std::pair<std::string, LowRankUpdate>> updates = planned_[i];
      std::vector<LowRankUpdate*> pointers;
      for (auto& [name, update] : updates) pointers.push_back(&update);
      const std::shared_ptr<ObjectStore> store = files_[i].Write(pointers);
      model.places = {{absl::StrCat("memory://adapter-", i), model.given, store}};
      CheckpointShard shard;
      shard.key = AdapterFile::kKey;
      shard.info.size = files_[i].size();
      shard.place = 1;
      model.shards.push_back(shard);
      for (auto& [name, update] : updates) {
        model.tensors[model.by_name.find(name)->second].update = update;
      }
    }
  }

  TinyCheckpoint base_;
  std::vector<AdapterFile> files_;
  std::vector<std::vector<std::pair<std::string, LowRankUpdate>>> planned_;
  std::map<std::string, std::vector<double>> measured_;
  uint64_t bytes_read_ = 0, peak_ = 0;
  absl::Status error_;
};

constexpr char kTaskArithmetic[] =
    "merge_method: task_arithmetic\nbase_model: base\nmodels:\n"
    "- {model: a, parameters: {weight: 0.5}}\n- {model: b, parameters: {weight: -1.5}}\n";
constexpr char kLinear[] =
    "merge_method: linear\nmodels:\n"
    "- {model: base, parameters: {weight: 0.5}}\n- {model: a, parameters: {weight: 0.25}}\n"
    "- {model: b, parameters: {weight: 1}}\n";
constexpr char kResMerge[] = "merge_method: resmerge\nbase_model: base\nmodels: [a, b]\n";
constexpr char kNearswap[] =
    "merge_method: nearswap\nbase_model: base\nmodels: [a]\nparameters: {t: 0.1}\n";

// As weights, adapters are the models that they make, rounded once to float32.
TEST(Origins, MethodsOfWeightsGiveWhatAppliedAdaptersGive) {
  for (const std::string recipe : {kLinear, kNearswap}) {
    AdapterJob job;
    const auto files = job.Merge(recipe);
    ASSERT_FALSE(files.empty());
    EXPECT_TRUE(files == job.MergeApplied(recipe)) << recipe;
  }
}

TEST(Origins, TaskVectorsAreTheProductsThemselves) {
  AdapterJob job(DType::kF32);
  const auto files = job.Merge(kTaskArithmetic);
  ASSERT_EQ(files.size(), 1u);
  // The tensors stand in the base's order, without gaps, at the end of the file.
  std::string want;
  for (const TinyTensor& tensor : job.base().tensors) {
    const std::vector<double> base = ValuesOf(job.base(), tensor.name);
    const std::vector<double> a = job.Delta(0, tensor.name), b = job.Delta(1, tensor.name);
    std::vector<double> out(base.size());
    for (size_t e = 0; e < base.size(); ++e) {
      const double sum = std::fma(-1.5, static_cast<double>(static_cast<float>(b[e])),
                                  0.5 * static_cast<double>(static_cast<float>(a[e])));
      out[e] = base[e] + sum;
    }
    want += EncodeTiny(DType::kF32, out);
  }
  const std::string& file = files.begin()->second;
  ASSERT_GT(file.size(), want.size());
  EXPECT_TRUE(file.substr(file.size() - want.size()) == want);
}

TEST(Origins, BytesDoNotDependOnThreadsMemoryOrCuts) {
  AdapterJob job;
  for (const std::string& recipe :
       {std::string(kTaskArithmetic), std::string(kLinear),
        std::string("merge_method: ties\nbase_model: base\nmodels: [a, b]\n"
                    "parameters: {density: 0.5, weight: 1}\n"),
        std::string(kResMerge), std::string(kResMerge) + "parameters: {scope: model}\n"}) {
    const auto files = job.Merge(recipe);
    ASSERT_FALSE(files.empty()) << recipe;
    EXPECT_TRUE(job.Merge(recipe, 1, 0) == files) << recipe << ": the least memory";
    EXPECT_TRUE(job.Merge(recipe, 4) == files) << recipe << ": four threads";
    EXPECT_TRUE(job.Merge(recipe + "split_size: 64KiB\nunit_size: 16MiB\n", 2) == files) << recipe;
  }
}

// The factors reach the method, matrix by matrix of experts: no pass is made for the heads, which
// are those of the models in which the adapters were applied.
TEST(Origins, HeadsOfKnownRankTakeNoPasses) {
  AdapterJob job(DType::kF32);
  ASSERT_FALSE(job.Merge(kResMerge).empty());
  // A matrix, three of experts, one that no adapter changes; two experts each.
  ASSERT_EQ(job.measured("passes").size(), 10u);
  EXPECT_THAT(job.measured("passes"), ::testing::Each(0.0));
  const std::vector<double> sigma = job.measured("sigma");
  ASSERT_FALSE(job.MergeApplied(kResMerge).empty());
  const std::vector<double> dense = job.measured("sigma");
  ASSERT_EQ(dense.size(), sigma.size());
  for (size_t i = 0; i < sigma.size(); ++i) EXPECT_NEAR(sigma[i], dense[i], 1e-5 * dense[i]) << i;
  for (const double passes : job.measured("passes")) EXPECT_GT(passes, 0);
}

TEST(Origins, TheBaseIsReadOnceAndOfAdaptersWhatIsNeeded) {
  AdapterJob job;
  job.Merge(kTaskArithmetic);
  uint64_t base = 0, adapters = 0;
  for (const TinyTensor& tensor : job.base().tensors) {
    base += TinyBytes(tensor, 1).size();
  }
  for (size_t i = 0; i < 2; ++i) adapters += job.file(i).size();
  EXPECT_GE(job.bytes_read(), base);
  // Of a tensor in two leaves the column factor is read twice.
  EXPECT_LT(job.bytes_read(), base + 2 * adapters);
  const uint64_t deltas = job.bytes_read();
  job.Merge(kLinear);
  EXPECT_EQ(job.bytes_read(), deltas);
}

TEST(Origins, ADamagedAdapterIsNamed) {
  for (const std::string recipe : {kTaskArithmetic, kLinear}) {
    AdapterJob job;
    job.file(1).Set("large.weight.lora_A.0", 17, std::numeric_limits<double>::quiet_NaN());
    job.Merge(recipe);
    EXPECT_EQ(job.error().code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(job.error().message()),
                AllOf(HasSubstr("adapter_model.safetensors"), HasSubstr("large.weight.lora_A.0"),
                      HasSubstr("element 17 is NaN")));
  }
}

}  // namespace
}  // namespace merganser
