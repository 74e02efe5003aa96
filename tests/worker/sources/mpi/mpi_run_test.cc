// Whole runs with ranks as threads: rank 0, the others, and real units between them.
#include "worker/sources/mpi/mpi_run.h"

#include <atomic>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/engine/working_folder.h"
#include "common/storage/stores.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/sources/mpi/local_world.h"
#include "tests/worker/worker_fixture.h"
#include "worker/sources/in_process.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr uint64_t kMemory = uint64_t{1} << 30;

std::map<std::string, TinyCheckpoint> Models() {
  std::map<std::string, TinyCheckpoint> models;
  uint64_t seed = 3;
  for (const char* name : {"base", "a", "b"}) {
    for (int layer = 0; layer < 6; ++layer) {
      TinyTensor tensor{
          absl::StrCat("model.layers.", layer, ".mlp.up_proj.weight"), DType::kF32, {70, 40}};
      tensor.bytes = TinyBytes(tensor, seed++);
      models[name].tensors.push_back(tensor);
    }
  }
  return models;
}

std::string Recipe(const std::string& method, const std::string& scope) {
  return absl::StrCat("merge_method: ", method, "\nbase_model: base\nmodels: [a, b]\nparameters: {",
                      "scope: ", scope, "}\nmax_shard_size: 12000\n");
}

// A plan of ours, and an output that every rank can open by its URI.
struct Job {
  Job(const std::string& recipe, const std::map<std::string, TinyCheckpoint>& models)
      : inputs(recipe, models) {
    static std::atomic<int> jobs = 0;
    uri = absl::StrCat("memory://mpi-run-test-", ++jobs);
    store = Stores().Open(uri).value();
    std::vector<PlannedWrite> writes;
    for (const PlannedShard& shard : inputs.plan().shards) {
      writes.push_back(store->BeginWrite({shard.key, shard.size}, "test").value());
    }
    EXPECT_TRUE(RecordWrites(*store, "test", 1, WritesRecord::kBegun, writes).ok());
    context = MakeJobContext("jobs/test", "test", inputs.plan(), uri, writes).value();
  }

  // The bytes of the shards, committed.
  std::map<std::string, std::string> Publish(const std::vector<UnitResult>& results) {
    std::map<std::string, std::string> files;
    for (uint32_t s = 0; s < context->plan.shards.size(); ++s) {
      std::vector<WriteReceipt> receipts;
      for (const UnitResult& result : results) {
        if (context->plan.units[result.unit].shard != s) continue;
        receipts.insert(receipts.end(), result.receipts.begin(), result.receipts.end());
      }
      EXPECT_TRUE(store->CommitWrite(context->writes[s], receipts).ok());
      std::string& bytes = files[context->plan.shards[s].key];
      bytes.resize(context->plan.shards[s].size);
      EXPECT_TRUE(store
                      ->Read(context->plan.shards[s].key, 0,
                             {reinterpret_cast<std::byte*>(bytes.data()), bytes.size()}, {})
                      .ok());
    }
    return files;
  }

  TestJob inputs;
  std::string uri;
  std::shared_ptr<ObjectStore> store;
  std::shared_ptr<const JobContext> context;
};

std::map<std::string, std::string> Alone(const std::string& recipe) {
  Job job(recipe, Models());
  InProcessSource source(job.context);
  EXPECT_TRUE(RunUnits(source, Options(2, kMemory)).ok());
  return job.Publish(source.TakeResults().value());
}

RankOptions RankOf(int rank) {
  RankOptions options;
  options.host = absl::StrCat("node", rank);
  options.threads = 1;
  options.memory = kMemory;
  options.flush_period = std::chrono::milliseconds(5);
  options.heartbeat = std::chrono::milliseconds(20);
  return options;
}

// Ranks 1 and up, on threads of their own until rank 0 lets them go.
class Others {
 public:
  explicit Others(LocalWorld& world, const std::map<int, absl::Status>& not_ready = {})
      : size_(world.of(0).size()), statuses_(static_cast<size_t>(size_)) {
    ranks_.resize(static_cast<size_t>(size_));
    for (int r = 1; r < size_; ++r) {
      RankOptions options = RankOf(r);
      if (not_ready.contains(r)) options.ready = not_ready.at(r);
      const auto at = static_cast<size_t>(r);
      ranks_[at] = std::make_unique<MpiRank>(world.of(r), options);
      threads_.emplace_back([this, at] { statuses_[at] = ranks_[at]->Run(); });
    }
  }
  ~Others() { Join(); }
  MpiRank& of(int rank) { return *ranks_[static_cast<size_t>(rank)]; }
  const std::vector<absl::Status>& Join() {
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
    return statuses_;
  }

 private:
  const int size_;
  std::vector<absl::Status> statuses_;
  std::vector<std::unique_ptr<MpiRank>> ranks_;
  std::vector<std::thread> threads_;
};

struct Outcome {
  absl::StatusOr<std::vector<UnitResult>> results;
  std::vector<UnitResult> completed;
};

Outcome RunJob(Job& job, int ranks, std::vector<UnitResult> done = {},
               const std::map<int, absl::Status>& not_ready = {}) {
  LocalWorld world(ranks);
  Others others(world, not_ready);
  MpiRoot root(world.of(0), RankOf(0));
  Outcome outcome;
  outcome.results = root.Run(job.context, job.uri, std::move(done), [&](const UnitResult& result) {
    outcome.completed.push_back(result);
  });
  EXPECT_FALSE(root.lost());
  EXPECT_TRUE(root.Dismiss().ok());
  for (const absl::Status& status : others.Join()) EXPECT_TRUE(status.ok()) << status;
  return outcome;
}

TEST(MpiRunTest, AnyNumberOfRanksWritesTheBytesOfOneProcessAndAllWork) {
  for (const char* method : {"resmerge", "scf_rkl"}) {
    for (const char* scope : {"tensor", "model"}) {
      const std::string recipe = Recipe(method, scope);
      const auto wanted = Alone(recipe);
      for (const int ranks : {1, 2, 5}) {
        SCOPED_TRACE(absl::StrCat(method, " ", scope, ", ranks: ", ranks));
        Job job(recipe, Models());
        const Outcome outcome = RunJob(job, ranks);
        ASSERT_TRUE(outcome.results.ok()) << outcome.results.status();
        EXPECT_EQ(job.Publish(*outcome.results), wanted);
        std::set<std::string> workers;
        for (const UnitResult& result : outcome.completed) workers.insert(result.worker);
        EXPECT_EQ(workers.size(), static_cast<size_t>(ranks));
        EXPECT_TRUE(workers.contains("rank 0 on node0"));
      }
    }
  }
}

TEST(MpiRunTest, ARunGoesOnFromWhatIsOnRecord) {
  const std::string recipe = Recipe("scf_rkl", "model");
  Job job(recipe, Models());
  const Outcome first = RunJob(job, 2);
  ASSERT_TRUE(first.results.ok()) << first.results.status();
  const size_t all = first.completed.size();
  ASSERT_GT(all, 6u);
  // As if it had been killed with that much on record.
  for (const size_t kept : {size_t{1}, all / 2, all - 1, all}) {
    SCOPED_TRACE(kept);
    const std::vector<UnitResult> done(first.completed.begin(),
                                       first.completed.begin() + static_cast<ptrdiff_t>(kept));
    const Outcome outcome = RunJob(job, 3, done);
    ASSERT_TRUE(outcome.results.ok()) << outcome.results.status();
    EXPECT_EQ(outcome.completed.size(), all - kept);
    if (kept == all) {
      EXPECT_EQ(job.Publish(*outcome.results), Alone(recipe));
    }
  }
}

TEST(MpiRunTest, AnInputThatNoRankCanMergeEndsTheRunAndNamesRankAndTensor) {
  auto models = Models();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  models["a"].tensors[4].bytes.replace(80, 4, reinterpret_cast<const char*>(&nan), 4);
  Job job(Recipe("resmerge", "tensor"), models);
  const Outcome outcome = RunJob(job, 3);
  EXPECT_TRUE(absl::IsDataLoss(outcome.results.status())) << outcome.results.status();
  EXPECT_THAT(std::string(outcome.results.status().message()),
              AllOf(StartsWith("rank "), HasSubstr(" on node"), HasSubstr("model.layers.4")));
}

// A write that is gone ends the job; the run goes on with another, and with every rank.
TEST(MpiRunTest, AJobMayComeAfterOneThatFailed) {
  const std::string recipe = Recipe("scf_rkl", "model");
  const auto wanted = Alone(recipe);
  LocalWorld world(3);
  Others others(world);
  MpiRoot root(world.of(0), RankOf(0));
  for (int failed = 0; failed < 2; ++failed) {
    Job job(recipe, Models());
    ASSERT_TRUE(job.store->AbortWrite(job.context->writes[0]).ok());
    const auto results = root.Run(job.context, job.uri, {}, [](const UnitResult&) {});
    EXPECT_TRUE(absl::IsNotFound(results.status())) << results.status();
    EXPECT_FALSE(root.lost());
  }
  Job job(recipe, Models());
  std::set<std::string> workers;
  const auto results = root.Run(job.context, job.uri, {},
                                [&](const UnitResult& result) { workers.insert(result.worker); });
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_EQ(job.Publish(*results), wanted);
  EXPECT_EQ(workers.size(), 3u);
  EXPECT_TRUE(root.Dismiss().ok());
  for (const absl::Status& status : others.Join()) EXPECT_TRUE(status.ok()) << status;
}

TEST(MpiRunTest, ARankThatCannotWorkEndsTheRunInOrder) {
  Job job(Recipe("resmerge", "tensor"), Models());
  const Outcome outcome =
      RunJob(job, 3, {}, {{2, absl::FailedPreconditionError("this processor has no FMA")}});
  EXPECT_EQ(outcome.results.status(),
            absl::FailedPreconditionError("rank 2 on node2: this processor has no FMA"));
}

TEST(MpiRunTest, ASignalToOneRankEndsTheRunInOrder) {
  Job job(Recipe("resmerge", "model"), Models());
  LocalWorld world(3);
  Others others(world);
  others.of(2).Interrupt();
  MpiRoot root(world.of(0), RankOf(0));
  const auto results = root.Run(job.context, job.uri, {}, [](const UnitResult&) {});
  // It may have been over before the word arrived.
  if (!results.ok()) {
    EXPECT_TRUE(absl::IsCancelled(results.status())) << results.status();
  }
  EXPECT_EQ(world.sent(MessageKind::kInterrupted, 2), 1);
  EXPECT_TRUE(root.Dismiss().ok());
}

TEST(MpiRunTest, AFailureOfRankZeroItselfEndsTheRun) {
  Job job(Recipe("resmerge", "model"), Models());
  LocalWorld world(3);
  Others others(world);
  MpiRoot root(world.of(0), RankOf(0));
  root.Fail(absl::UnavailableError("the progress log cannot be written"));
  const auto results = root.Run(job.context, job.uri, {}, [](const UnitResult&) {});
  EXPECT_EQ(results.status(), absl::UnavailableError("the progress log cannot be written"));
  EXPECT_FALSE(root.lost());
  EXPECT_TRUE(root.Dismiss().ok());
}

TEST(MpiRunTest, ARunThatNeverBeginsLetsAllRanksGo) {
  LocalWorld world(4);
  Others others(world);
  MpiRoot root(world.of(0), RankOf(0));
  EXPECT_TRUE(root.Dismiss().ok());
  for (const absl::Status& status : others.Join()) EXPECT_TRUE(status.ok()) << status;
}

TEST(MpiRunTest, ASilentRankLosesTheRun) {
  Job job(Recipe("resmerge", "tensor"), Models());
  LocalWorld world(3);
  world.Silence(1);
  Others others(world);
  MpiRoot root(world.of(0), RankOf(0), /*silence=*/std::chrono::milliseconds(500));
  const auto results = root.Run(job.context, job.uri, {}, [](const UnitResult&) {});
  EXPECT_TRUE(absl::IsUnavailable(results.status())) << results.status();
  EXPECT_THAT(std::string(results.status().message()), HasSubstr("rank 1"));
  EXPECT_TRUE(root.lost());
  world.Break();
  for (int r = 1; r < 3; ++r) EXPECT_FALSE(others.Join()[static_cast<size_t>(r)].ok());
}

TEST(MpiRunTest, APeerThatIsGoneLosesTheRun) {
  Job job(Recipe("resmerge", "tensor"), Models());
  LocalWorld world(2);
  world.Break();
  Others others(world);
  MpiRoot root(world.of(0), RankOf(0));
  EXPECT_TRUE(
      absl::IsUnavailable(root.Run(job.context, job.uri, {}, [](const UnitResult&) {}).status()));
  EXPECT_TRUE(root.lost());
}

}  // namespace
}  // namespace merganser
