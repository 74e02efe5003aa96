// Gates that span pieces: analysis in rounds of the whole job, keepsakes between.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/mutex.h"
#include "common/engine/working_folder.h"
#include "common/plan/requests.h"
#include "common/storage/list.h"
#include "common/storage/object_store.h"
#include "tests/worker/worker_fixture.h"
#include "worker/segment_io.h"
#include "worker/sources/in_process.h"

namespace merganser {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr uint64_t kPlenty = uint64_t{1} << 30;

std::map<std::string, TinyCheckpoint> Models() {
  std::map<std::string, TinyCheckpoint> models;
  uint64_t seed = 3;
  for (const char* name : {"base", "a", "b"}) {
    for (int layer = 0; layer < 3; ++layer) {
      for (const char* matrix : {"self_attn.q_proj", "mlp.up_proj"}) {
        TinyTensor tensor{
            absl::StrCat("model.layers.", layer, ".", matrix, ".weight"), DType::kF32, {70, 40}};
        tensor.bytes = TinyBytes(tensor, seed++);
        models[name].tensors.push_back(tensor);
      }
    }
    TinyTensor norm{"model.norm.weight", DType::kF32, {40}};
    norm.bytes = TinyBytes(norm, seed++);
    models[name].tensors.push_back(norm);
  }
  return models;
}

std::string Recipe(const std::string& method, const std::string& parameters,
                   const std::string& more = "") {
  return absl::StrCat("merge_method: ", method, "\nbase_model: base\nmodels: [a, b]\nparameters: {",
                      parameters, "}\n", more);
}

struct Merged {
  std::map<std::string, std::string> files;
  uint64_t bytes_read = 0;
  int rounds = 0;
  size_t units = 0;
};

Merged Merge(const std::string& recipe, int threads) {
  TestJob job(recipe, Models());
  InProcessSource source(job.context());
  EXPECT_TRUE(RunUnits(source, Options(threads, kPlenty)).ok());
  auto results = source.TakeResults();
  EXPECT_TRUE(results.ok()) << results.status();
  uint64_t reads = 0;
  for (size_t model = 0; model < job.plan().models.size(); ++model) {
    reads += job.input(model).Calls(StoreOp::kRead).size();
  }
  Merged merged;
  merged.rounds = job.plan().rounds;
  merged.units = job.plan().units.size();
  if (!results.ok()) return merged;
  std::map<uint32_t, UnitResult> by_unit;
  for (UnitResult& result : *results) {
    merged.bytes_read += result.bytes_read;
    by_unit.emplace(result.unit, std::move(result));
  }
  EXPECT_EQ(merged.bytes_read, job.plan().bytes_read);
  const std::vector<StoreTraits> inputs(job.plan().models.size());
  EXPECT_EQ(reads, CountRequests(job.plan(), inputs).reads);
  merged.files = job.Publish(by_unit);
  return merged;
}

// Bytes of the six matrices in all three models.
constexpr uint64_t kMatrices = 6 * 70 * 40 * 4 * 3;
constexpr uint64_t kNormOfTwo = 40 * 4 * 2;

TEST(RoundsTest, AWideScopeReadsWhatItSpansOnceMoreAndNothingElse) {
  const Merged narrow = Merge(Recipe("resmerge", "scope: tensor"), 2);
  EXPECT_EQ(narrow.rounds, 1);
  EXPECT_EQ(narrow.bytes_read, kMatrices + kNormOfTwo);
  for (const char* scope : {"layer", "family", "model"}) {
    const Merged wide = Merge(Recipe("resmerge", absl::StrCat("scope: ", scope)), 2);
    EXPECT_EQ(wide.rounds, 2) << scope;
    EXPECT_EQ(wide.bytes_read, 2 * kMatrices + kNormOfTwo) << scope;
    EXPECT_NE(wide.files, narrow.files) << scope;
  }
  const Merged sparse = Merge(Recipe("scf_rkl", "scope: model"), 2);
  EXPECT_EQ(sparse.rounds, 3);
  EXPECT_EQ(sparse.bytes_read, 3 * (kMatrices + 40 * 4 * 3));
}

TEST(RoundsTest, TheSameBytesForAnyCutAndAnyNumberOfThreads) {
  for (const char* method : {"resmerge", "scf_rkl"}) {
    for (const char* scope : {"tensor", "layer", "model"}) {
      SCOPED_TRACE(absl::StrCat(method, " ", scope));
      const std::string parameters = absl::StrCat("scope: ", scope);
      const Merged whole = Merge(Recipe(method, parameters), 1);
      const Merged cut = Merge(Recipe(method, parameters, "unit_size: 5000\n"), 3);
      EXPECT_GT(cut.units, whole.units);
      EXPECT_EQ(cut.files, whole.files);
    }
  }
}

TEST(RoundsTest, ATensorThatIsCutInPiecesGivesTheSameBytes) {
  for (const char* combine : {"max", "sequential"}) {
    const std::string parameters = absl::StrCat("density: 0.2, combine: ", combine);
    std::map<std::string, TinyCheckpoint> models;
    uint64_t seed = 50;
    for (const char* name : {"base", "a", "b"}) {
      TinyTensor tensor{"w.weight", DType::kBF16, {1300, 1000}};
      tensor.bytes = TinyBytes(tensor, seed++);
      models[name].tensors.push_back(tensor);
    }
    std::map<std::string, std::string> files[2];
    for (const bool split : {false, true}) {
      TestJob job(Recipe("scf_rkl", parameters, split ? "split_size: 1000\n" : ""), models);
      EXPECT_EQ(job.plan().rounds, !split ? 1 : std::string(combine) == "max" ? 3 : 5);
      InProcessSource source(job.context());
      ASSERT_TRUE(RunUnits(source, Options(2, kPlenty)).ok());
      auto results = source.TakeResults();
      ASSERT_TRUE(results.ok()) << results.status();
      std::map<uint32_t, UnitResult> by_unit;
      for (UnitResult& result : *results) by_unit.emplace(result.unit, std::move(result));
      files[split] = job.Publish(by_unit);
    }
    EXPECT_EQ(files[0], files[1]) << combine;
  }
}

// What a run before this one did, in whatever order and however much of it.
TEST(RoundsTest, AnySubsetOfEarlierResultsLeadsToTheSameBytes) {
  for (const char* method : {"resmerge", "scf_rkl"}) {
    SCOPED_TRACE(method);
    TestJob job(Recipe(method, "scope: model", "unit_size: 5000\n"), Models());
    Mutex mutex;
    std::vector<UnitResult> all;
    InProcessSource first(job.context(), {}, [&](const UnitResult& result) {
      MutexLock lock(mutex);
      all.push_back(result);
    });
    ASSERT_TRUE(RunUnits(first, Options(2, kPlenty)).ok());
    const auto wanted = first.TakeResults();
    ASSERT_TRUE(wanted.ok()) << wanted.status();
    ASSERT_GT(all.size(), job.plan().units.size());
    std::mt19937_64 random(20260101);
    for (int trial = 0; trial < 12; ++trial) {
      std::vector<UnitResult> subset;
      for (const UnitResult& result : all) {
        if (random() % 12 < static_cast<uint64_t>(trial)) subset.push_back(result);
      }
      std::shuffle(subset.begin(), subset.end(), random);
      const size_t earlier = subset.size();
      size_t done = 0;
      InProcessSource source(job.context(), std::move(subset), [&](const UnitResult&) {
        MutexLock lock(mutex);
        ++done;
      });
      ASSERT_TRUE(RunUnits(source, Options(2, kPlenty)).ok());
      const auto results = source.TakeResults();
      ASSERT_TRUE(results.ok()) << results.status();
      // Of what was written over since, in the trials before, the receipts are no longer true.
      if (job.context()->output->traits().whole_pieces) {
        EXPECT_GE(done, all.size() - earlier);
      } else {
        EXPECT_EQ(done, all.size() - earlier);
      }
      ASSERT_EQ(results->size(), wanted->size());
      for (size_t u = 0; u < results->size(); ++u) {
        EXPECT_EQ((*results)[u].segment_digests, (*wanted)[u].segment_digests);
        EXPECT_EQ((*results)[u].bytes_read, (*wanted)[u].bytes_read);
      }
    }
  }
}

// Between the rounds, something happens to the working folder.
class MeddlingSource final : public UnitSource {
 public:
  MeddlingSource(std::shared_ptr<const JobContext> job, bool remove)
      : job_(job), source_(std::move(job)), remove_(remove) {}

  absl::StatusOr<std::optional<LeasedUnit>> Next() override {
    auto next = source_.Next();
    if (next.ok() && next->has_value() && (*next)->round == 1 && !done_) {
      done_ = true;
      const auto listed = ListAll(*job_->output, ".merganser/test/keep/");
      EXPECT_TRUE(listed.ok() && !listed->empty());
      for (const ListedObject& object : *listed) {
        const absl::Status status = remove_ ? job_->output->Delete(object.key)
                                            : job_->output->Put(object.key, "not a keepsake");
        EXPECT_TRUE(status.ok());
      }
    }
    return next;
  }
  bool Progress(const LeasedUnit& unit, uint64_t bytes) override {
    return source_.Progress(unit, bytes);
  }
  void Complete(const LeasedUnit& unit, UnitResult result) override {
    source_.Complete(unit, std::move(result));
  }
  void Fail(const LeasedUnit& unit, absl::Status status) override {
    source_.Fail(unit, std::move(status));
  }
  absl::Status status() { return source_.TakeResults().status(); }

 private:
  const std::shared_ptr<const JobContext> job_;
  InProcessSource source_;
  const bool remove_;
  bool done_ = false;
};

// A worker that was stopped while it analyzed, and goes on when the job is over.
TEST(RoundsTest, AKeepsakeThatComesTooLateLeavesNothing) {
  TestJob job(Recipe("resmerge", "scope: model"), Models());
  const std::vector<Keepsake> keepsakes(1, Keepsake{{1.5, 2.5}});
  const auto kept = WriteKeepsakes(*job.context(), 0, 1, keepsakes);
  EXPECT_TRUE(kept.ok()) << kept.status();
  ASSERT_TRUE(ClearJob(job.output(), LookUpJob(job.output(), "test").value()).ok());
  const auto late = WriteKeepsakes(*job.context(), 0, 1, keepsakes);
  EXPECT_TRUE(absl::IsAborted(late.status())) << late.status();
  EXPECT_TRUE(ListAll(job.output(), ".merganser/")->empty());
}

TEST(RoundsTest, KeepsakesThatAreGoneOrDamagedFailTheRunAndAreNamed) {
  for (const bool remove : {true, false}) {
    TestJob job(Recipe("resmerge", "scope: model"), Models());
    MeddlingSource source(job.context(), remove);
    ASSERT_TRUE(RunUnits(source, Options(1, kPlenty)).ok());
    const absl::Status status = source.status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(".merganser/test/keep/"),
                                                     HasSubstr(remove ? "missing" : "damaged")));
  }
}

TEST(RoundsTest, AKeepsakeThatCannotBeWrittenFailsTheUnit) {
  TestJob job(Recipe("resmerge", "scope: model"), Models());
  FaultRule rule;
  rule.op = StoreOp::kPut;
  rule.status = absl::ResourceExhaustedError("the disk is full");
  job.output_faults().AddRule(rule);
  InProcessSource source(job.context());
  ASSERT_TRUE(RunUnits(source, Options(2, kPlenty)).ok());
  EXPECT_EQ(source.TakeResults().status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace merganser
