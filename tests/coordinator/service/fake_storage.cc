#include "tests/coordinator/service/fake_storage.h"

#include <functional>
#include <memory>
#include <utility>

#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/engine/result_record.h"
#include "common/engine/rounds.h"
#include "gtest/gtest.h"
#include "tests/testing/unit_plan.h"

namespace merganser {

class FakeRun final : public JobRun {
 public:
  explicit FakeRun(FakeStorage& storage) : storage_(storage) {
    MutexLock lock(storage_.mutex_);
    ++storage_.runs_;
  }
  ~FakeRun() override {
    MutexLock lock(storage_.mutex_);
    --storage_.runs_;
    storage_.changed_.NotifyAll();
  }

  std::vector<std::string> Paths() const override { return {"/"}; }

  absl::StatusOr<const Plan*> Prepare() override {
    MutexLock lock(storage_.mutex_);
    ++storage_.in_prepare_;
    while (storage_.closed_) storage_.changed_.Wait(storage_.mutex_);
    --storage_.in_prepare_;
    if (!storage_.prepare_.ok()) return storage_.prepare_;
    const uint64_t size = uint64_t{100} * storage_.units_;
    plan_ = storage_.rounds_ ? Plan() : UnitPlan(storage_.units_);
    plan_.method.method = "linear";
    plan_.method.numbers = {{"normalize", 1}};
    plan_.method.per_model = {{{"weight", 1}}};
    if (storage_.rounds_) {
      plan_.shards = {{"model.safetensors", "header", size}};
      for (uint64_t i = 0; i < storage_.units_; ++i) {
        Unit unit;
        unit.begin = 100 * i;
        unit.end = 100 * (i + 1);
        unit.memory = 1000;
        Segment segment;
        segment.bytes_out = 100;
        unit.segments = {segment};
        plan_.units.push_back(unit);
      }
      // All units share a gate: one round analyzes, the other writes.
      plan_.method.method = "resmerge";
      plan_.method.numbers = {{"rank_topk", 1},
                              {"src_beta_min", 0.7},
                              {"src_beta_max", 1.0},
                              {"head_ratio_budget", 0.2}};
      plan_.method.choices = {{"roles", "structure"}, {"scope", "model"}};
      plan_.rounds = 2;
      plan_.groups = {{"model", {}, 0, true}};
      for (uint32_t i = 0; i < storage_.units_; ++i) {
        PlannedTensor& tensor = plan_.tensors.emplace_back();
        tensor.spec.name = "t" + std::to_string(i);
        tensor.needs.rounds = 1;
        tensor.leaves = 1;
        tensor.group = 0;
        plan_.groups[0].tensors.push_back(i);
        Segment& segment = plan_.units[i].segments[0];
        segment.tensor = i;
        segment.leaf_end = 1;
        segment.bytes_in = 100;
      }
    }
    plan_.warnings = {"a warning of the plan"};
    plan_.digest = storage_.digest_;
    plan_.models.resize(1);
    plan_.models[0].uri = "/models/a";
    plan_.models[0].shards.resize(1);
    plan_.models[0].shards[0].header_digest = storage_.digest_;
    return &plan_;
  }

  absl::StatusOr<std::vector<PlannedWrite>> Begin(uint64_t) override {
    MutexLock lock(storage_.mutex_);
    ++storage_.in_begin_;
    storage_.changed_.NotifyAll();
    while (storage_.begin_closed_) storage_.changed_.Wait(storage_.mutex_);
    --storage_.in_begin_;
    if (absl::IsAborted(storage_.begin_)) return std::exchange(storage_.begin_, absl::OkStatus());
    if (!storage_.begin_.ok()) return storage_.begin_;
    ++storage_.begun_;
    storage_.claimed_ = true;
    return std::vector<PlannedWrite>{{"model.safetensors", plan_.shards[0].size, "upload"}};
  }

  absl::StatusOr<std::optional<std::vector<PlannedWrite>>> Resume(
      uint64_t, std::vector<UnitResult>& done,
      const std::function<absl::Status()>& forget) override {
    MutexLock lock(storage_.mutex_);
    ++storage_.resumed_;
    if (!storage_.resume_.ok()) return std::exchange(storage_.resume_, absl::OkStatus());
    if (!storage_.claimed_) return std::nullopt;
    if (storage_.writes_lost_) {
      MERGANSER_RETURN_IF_ERROR(forget());
      done.clear();
    }
    return std::vector<PlannedWrite>{{"model.safetensors", plan_.shards[0].size, "upload"}};
  }

  absl::StatusOr<std::optional<std::string>> FindPublished() override {
    MutexLock lock(storage_.mutex_);
    if (storage_.published_ == 0) return std::nullopt;
    return "a summary that was found";
  }

  absl::Status Discard() override {
    MutexLock lock(storage_.mutex_);
    ++storage_.discarded_;
    if (!storage_.discard_.ok()) return std::exchange(storage_.discard_, absl::OkStatus());
    storage_.claimed_ = false;
    return absl::OkStatus();
  }

  absl::StatusOr<bool> WritesAreGone() override {
    MutexLock lock(storage_.mutex_);
    return !storage_.gone_.empty();
  }

  absl::StatusOr<std::optional<std::vector<PlannedWrite>>> BeginGoneWrites(
      std::vector<UnitResult>& done) override {
    MutexLock lock(storage_.mutex_);
    if (storage_.gone_.empty()) return std::nullopt;
    std::erase_if(done, [&](const UnitResult& result) {
      return IsLastRound(plan_, result.round) && storage_.gone_.contains(result.unit);
    });
    storage_.gone_.clear();
    return std::vector<PlannedWrite>{{"model.safetensors", plan_.shards[0].size, "upload-again"}};
  }

  absl::StatusOr<std::vector<uint32_t>> LostUnits(const std::vector<UnitResult>& results) override {
    MutexLock lock(storage_.mutex_);
    EXPECT_EQ(results.size(), plan_.units.size());
    return std::exchange(storage_.lost_, {});
  }

  absl::StatusOr<std::string> Publish(const std::vector<UnitResult>& results,
                                      const RunFacts& facts) override {
    MutexLock lock(storage_.mutex_);
    ++storage_.in_publish_;
    storage_.changed_.NotifyAll();
    while (storage_.publish_closed_) storage_.changed_.Wait(storage_.mutex_);
    --storage_.in_publish_;
    if (!storage_.publish_.ok()) return storage_.publish_;
    EXPECT_EQ(results.size(), plan_.units.size());
    storage_.results_ = results;
    ++storage_.published_;
    storage_.claimed_ = false;
    storage_.workers_ = facts.workers;
    return "a summary";
  }

  absl::StatusOr<std::string> Report() override {
    MutexLock lock(storage_.mutex_);
    if (!storage_.report_status_.ok()) return storage_.report_status_;
    if (!storage_.report_.has_value()) return JobRun::Report();
    ++storage_.reports_read_;
    return *storage_.report_;
  }

  absl::StatusOr<ObjectInfo> StatReport() override {
    MutexLock lock(storage_.mutex_);
    if (!storage_.report_status_.ok()) return storage_.report_status_;
    if (!storage_.report_.has_value()) return JobRun::StatReport();
    ObjectInfo info;
    info.size = storage_.report_->size();
    info.identity = DigestHex(*storage_.report_);
    return info;
  }

  absl::Status Abandon() override {
    MutexLock lock(storage_.mutex_);
    ++storage_.abandoned_;
    storage_.claimed_ = false;
    return absl::OkStatus();
  }

  std::vector<std::string> Warnings() const override { return {"a file stayed behind"}; }

 private:
  FakeStorage& storage_;
  Plan plan_;
};

FakeStorage::~FakeStorage() {
  Open();
  MutexLock lock(mutex_);
  while (runs_ > 0) changed_.Wait(mutex_);
}

JobRunFactory FakeStorage::Runs() {
  return [this](const JobInfo&) { return std::make_unique<FakeRun>(*this); };
}

void FakeStorage::FailPrepare(absl::Status status) {
  MutexLock lock(mutex_);
  prepare_ = std::move(status);
}

void FakeStorage::FailDiscardOnce(absl::Status status) {
  MutexLock lock(mutex_);
  discard_ = std::move(status);
}

void FakeStorage::FailBegin(absl::Status status) {
  MutexLock lock(mutex_);
  begin_ = std::move(status);
}

void FakeStorage::FailPublish(absl::Status status) {
  MutexLock lock(mutex_);
  publish_ = std::move(status);
}

void FakeStorage::FailResumeOnce(absl::Status status) {
  MutexLock lock(mutex_);
  resume_ = std::move(status);
}

void FakeStorage::UseRounds() {
  MutexLock lock(mutex_);
  rounds_ = true;
}

void FakeStorage::SetBegun() {
  MutexLock lock(mutex_);
  claimed_ = true;
}

void FakeStorage::SetPublished() {
  MutexLock lock(mutex_);
  published_ = 1;
}

std::vector<UnitResult> FakeStorage::results() const {
  MutexLock lock(mutex_);
  return results_;
}

void FakeStorage::LoseWrites() {
  MutexLock lock(mutex_);
  writes_lost_ = true;
}

void FakeStorage::DropUnitsOnce(std::set<uint32_t> units) {
  MutexLock lock(mutex_);
  gone_ = std::move(units);
}

void FakeStorage::LoseUnitsOnce(std::vector<uint32_t> units) {
  MutexLock lock(mutex_);
  lost_ = std::move(units);
}

void FakeStorage::LoseClaim() {
  MutexLock lock(mutex_);
  claimed_ = false;
}

void FakeStorage::ChangeInput(const std::string& digest) {
  MutexLock lock(mutex_);
  digest_ = digest;
}

void FakeStorage::ClosePublish() {
  MutexLock lock(mutex_);
  publish_closed_ = true;
}

void FakeStorage::AwaitPublish() {
  MutexLock lock(mutex_);
  while (in_publish_ == 0) changed_.Wait(mutex_);
}

void FakeStorage::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
}

void FakeStorage::CloseBegin() {
  MutexLock lock(mutex_);
  begin_closed_ = true;
}

void FakeStorage::AwaitBegin() {
  MutexLock lock(mutex_);
  while (in_begin_ == 0) changed_.Wait(mutex_);
}

void FakeStorage::Open() {
  MutexLock lock(mutex_);
  closed_ = false;
  begin_closed_ = false;
  publish_closed_ = false;
  changed_.NotifyAll();
}

void FakeStorage::SetReport(std::optional<std::string> text) {
  MutexLock lock(mutex_);
  report_ = std::move(text);
}

void FakeStorage::FailReport(absl::Status status) {
  MutexLock lock(mutex_);
  report_status_ = std::move(status);
}

int FakeStorage::reports_read() const {
  MutexLock lock(mutex_);
  return reports_read_;
}

int FakeStorage::published() const {
  MutexLock lock(mutex_);
  return published_;
}

int FakeStorage::preparing() const {
  MutexLock lock(mutex_);
  return in_prepare_;
}

int FakeStorage::begun() const {
  MutexLock lock(mutex_);
  return begun_;
}

int FakeStorage::resumed() const {
  MutexLock lock(mutex_);
  return resumed_;
}

bool FakeStorage::claimed() const {
  MutexLock lock(mutex_);
  return claimed_;
}

int FakeStorage::discarded() const {
  MutexLock lock(mutex_);
  return discarded_;
}

int FakeStorage::abandoned() const {
  MutexLock lock(mutex_);
  return abandoned_;
}

std::vector<std::string> FakeStorage::workers() const {
  MutexLock lock(mutex_);
  return workers_;
}

WorkerReport::Completed CompletionOf(const LeaseGrant& lease, UnitResult result) {
  std::string record = PackResult("digest", result);
  return {lease.token, lease.job, std::move(result), std::move(record)};
}

}  // namespace merganser
