// A job over memory stores, a source of units that a test scripts, and what the
// merge should come to.
#ifndef MERGANSER_TESTS_WORKER_WORKER_FIXTURE_H_
#define MERGANSER_TESTS_WORKER_WORKER_FIXTURE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/checkpoint/checkpoint.h"
#include "tests/testing/fault_store.h"
#include "tests/testing/recording_store.h"
#include "tests/testing/test_traits.h"
#include "tests/testing/tiny_checkpoint.h"
#include "worker/unit_runner.h"
#include "worker/unit_source.h"

namespace merganser {

// `recipe` names its models as the keys of `models`; `change` is called on them before they are
// planned. Any failure to get so far fails the test.
class TestJob {
 public:
  TestJob(std::string_view recipe, const std::map<std::string, TinyCheckpoint>& models,
          const StoreTraits& output = TestTraits(),
          const std::function<void(std::vector<Checkpoint>&)>& change = nullptr);

  const std::shared_ptr<JobContext>& context() const { return context_; }
  const Plan& plan() const { return context_->plan; }
  // What the worker sees: calls are recorded, then fail if a rule says so.
  RecordingStore& input(size_t model) { return *inputs_[model].calls; }
  FaultStore& input_faults(size_t model) { return *inputs_[model].faults; }
  RecordingStore& output() { return *output_.calls; }
  FaultStore& output_faults() { return *output_.faults; }
  // The unit that writes leaf `leaf` of the tensor.
  uint32_t UnitOf(std::string_view tensor, uint64_t leaf = 0) const;
  // Commits all shards with the receipts of `results` and returns key -> bytes.
  std::map<std::string, std::string> Publish(const std::map<uint32_t, UnitResult>& results);

 private:
  std::shared_ptr<JobContext> context_;
  struct Wrapped {
    std::shared_ptr<FaultStore> faults;
    std::shared_ptr<RecordingStore> calls;
  };
  static Wrapped Wrap(std::shared_ptr<ObjectStore> store);

  std::vector<Wrapped> inputs_;
  Wrapped output_;
};

// The average of `a` and `b`, a unit a kilobyte of tensors or so.
inline constexpr std::string_view kAverage =
    "merge_method: linear\nmodels: [a, b]\nparameters: {weight: 1}\nmax_shard_size: 1000\n";
// Of kAverage: two models of so many F32 tensors w0, w1, ..., each of so many elements.
std::map<std::string, TinyCheckpoint> TwoModels(int tensors, uint64_t elements);

// Hands out all units in order; keeps what it is told.
class ScriptedSource final : public UnitSource {
 public:
  explicit ScriptedSource(std::shared_ptr<const JobContext> job) : job_(std::move(job)) {}

  // --- Script; set before the run.
  std::set<uint32_t> revoked;  // leases that are lost at their first progress
  uint32_t error_after = ~0U;  // units after which Next fails
  absl::Status next_error;

  absl::StatusOr<std::optional<LeasedUnit>> Next() override;
  bool Progress(const LeasedUnit& unit, uint64_t bytes) override;
  void Complete(const LeasedUnit& unit, UnitResult result) override;
  void Fail(const LeasedUnit& unit, absl::Status status) override;

  // --- Outcome; read after the run.
  std::map<uint32_t, UnitResult> results;
  std::map<uint32_t, absl::Status> failures;
  std::map<uint32_t, uint64_t> progress;

 private:
  const std::shared_ptr<const JobContext> job_;
  Mutex mutex_;
  uint32_t next_ = 0;
};

RunnerOptions Options(int threads, uint64_t memory);

// What `linear` should write, by fused float64 sums in model order: key -> bytes.
// Integer tensors are those of the first model.
std::map<std::string, std::string> ExpectedLinear(const Plan& plan,
                                                  const std::vector<TinyCheckpoint>& models,
                                                  const std::vector<double>& weights,
                                                  double divisor);

}  // namespace merganser

#endif  // MERGANSER_TESTS_WORKER_WORKER_FIXTURE_H_
