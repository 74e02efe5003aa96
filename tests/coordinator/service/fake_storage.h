// Jobs that touch no storage: what a test decides of each step, and what was done to them.
#ifndef MERGANSER_TESTS_COORDINATOR_SERVICE_FAKE_STORAGE_H_
#define MERGANSER_TESTS_COORDINATOR_SERVICE_FAKE_STORAGE_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "common/engine/unit_result.h"
#include "coordinator/schedule/types.h"
#include "coordinator/service/job_run.h"

namespace merganser {

// A unit's end as it arrives, of a plan of FakeStorage.
WorkerReport::Completed CompletionOf(const LeaseGrant& lease, UnitResult result);

// What the jobs of a test do, and what was done to them. Thread-safe.
class FakeStorage {
 public:
  explicit FakeStorage(uint32_t units) : units_(units) {}
  ~FakeStorage();  // waits for runs that were left behind

  JobRunFactory Runs();

  void FailPrepare(absl::Status status);
  // Once where it is kAborted.
  void FailBegin(absl::Status status);
  void FailDiscardOnce(absl::Status status);
  void FailPublish(absl::Status status);
  // Plans made from now on have two rounds, and one gate for all units.
  void UseRounds();
  // As an earlier process left it.
  void SetBegun();
  void SetPublished();
  void FailResumeOnce(absl::Status status);
  // Resume finds no writes that it can use.
  void LoseWrites();
  // After the last round: these have to be done again.
  void LoseUnitsOnce(std::vector<uint32_t> units);
  // Their shard's upload is gone once, and with it what is on record of these.
  void DropUnitsOnce(std::set<uint32_t> units);
  // Resume finds no claim.
  void LoseClaim();
  // Plans made from now on have this digest, as their one input has.
  void ChangeInput(const std::string& digest);
  // Prepare of later jobs waits until Open.
  void Close();
  // How many wait there.
  int preparing() const;
  // The same for Begin; AwaitBegin returns when one waits there.
  void CloseBegin();
  void AwaitBegin();
  // The same for Publish.
  void ClosePublish();
  void AwaitPublish();
  void Open();

  // The report at the output; none at first. Of each text another identity is told.
  void SetReport(std::optional<std::string> text);
  // What looks at the report find until it is OK again.
  void FailReport(absl::Status status);
  int reports_read() const;

  int published() const;
  int abandoned() const;
  int begun() const;
  int resumed() const;
  int discarded() const;
  bool claimed() const;
  std::vector<UnitResult> results() const;   // of the last publication
  std::vector<std::string> workers() const;  // of the last publication

 private:
  friend class FakeRun;

  const uint32_t units_;
  mutable Mutex mutex_;
  CondVar changed_;
  int runs_ MERGANSER_GUARDED_BY(mutex_) = 0;
  bool closed_ MERGANSER_GUARDED_BY(mutex_) = false;
  int in_prepare_ MERGANSER_GUARDED_BY(mutex_) = 0;
  bool begin_closed_ MERGANSER_GUARDED_BY(mutex_) = false;
  int in_begin_ MERGANSER_GUARDED_BY(mutex_) = 0;
  bool publish_closed_ MERGANSER_GUARDED_BY(mutex_) = false;
  int in_publish_ MERGANSER_GUARDED_BY(mutex_) = 0;
  bool rounds_ MERGANSER_GUARDED_BY(mutex_) = false;
  bool claimed_ MERGANSER_GUARDED_BY(mutex_) = false;
  bool writes_lost_ MERGANSER_GUARDED_BY(mutex_) = false;
  std::string digest_ MERGANSER_GUARDED_BY(mutex_) = "digest";
  std::vector<uint32_t> lost_ MERGANSER_GUARDED_BY(mutex_);
  std::set<uint32_t> gone_ MERGANSER_GUARDED_BY(mutex_);
  absl::Status resume_ MERGANSER_GUARDED_BY(mutex_);
  absl::Status prepare_ MERGANSER_GUARDED_BY(mutex_);
  absl::Status begin_ MERGANSER_GUARDED_BY(mutex_);
  absl::Status discard_ MERGANSER_GUARDED_BY(mutex_);
  absl::Status publish_ MERGANSER_GUARDED_BY(mutex_);
  std::optional<std::string> report_ MERGANSER_GUARDED_BY(mutex_);
  absl::Status report_status_ MERGANSER_GUARDED_BY(mutex_);
  int reports_read_ MERGANSER_GUARDED_BY(mutex_) = 0;
  int published_ MERGANSER_GUARDED_BY(mutex_) = 0;
  int abandoned_ MERGANSER_GUARDED_BY(mutex_) = 0;
  int begun_ MERGANSER_GUARDED_BY(mutex_) = 0;
  int resumed_ MERGANSER_GUARDED_BY(mutex_) = 0;
  int discarded_ MERGANSER_GUARDED_BY(mutex_) = 0;
  std::vector<UnitResult> results_ MERGANSER_GUARDED_BY(mutex_);
  std::vector<std::string> workers_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace merganser

#endif  // MERGANSER_TESTS_COORDINATOR_SERVICE_FAKE_STORAGE_H_
