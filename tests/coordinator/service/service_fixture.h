// A coordinator on a loopback port whose jobs touch no storage, and workers that
// speak Sync by hand.
#ifndef MERGANSER_TESTS_COORDINATOR_SERVICE_SERVICE_FIXTURE_H_
#define MERGANSER_TESTS_COORDINATOR_SERVICE_SERVICE_FIXTURE_H_

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "coordinator/service/client.h"
#include "coordinator/service/job_manager.h"
#include "coordinator/service/job_run.h"
#include "coordinator/service/job_store.h"
#include "coordinator/service/server.h"
#include "gtest/gtest.h"
#include "proto/merganser/v1/worker_service.grpc.pb.h"

namespace merganser {

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

// A recipe that parses.
JobRequest ValidRequest(const std::string& output = "/nowhere/out");

// Somebody who may do everything.
Caller Operator();

// Quick beats, so that no test waits for a heartbeat.
JobManagerOptions QuickOptions();

// Waits for the job's end.
JobInfo AwaitEnd(JobManager& jobs, const std::string& name);
// Waits until the job is in `state` (or ended).
JobInfo AwaitState(JobManager& jobs, const std::string& name, JobState state);

// Streams of WatchJob that servers of the tests have room for.
inline constexpr int kWatchers = 64;

class ServiceTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;
  void StartServer(const JobManagerOptions& options);
  // The token of the fixture's server.
  static ChannelSecurity Token();
  static void Authorize(grpc::ClientContext& context);

  // A Sync request of `worker` with the next sequence number.
  v1::SyncRequest From(const std::string& worker, uint32_t wanted = 0);
  v1::SyncResponse Sync(const v1::SyncRequest& request);
  grpc::Status TrySync(const v1::SyncRequest& request, v1::SyncResponse* response);
  // Calls until `worker` has a lease.
  v1::Lease Take(const std::string& worker);
  // A result that fits the fake plan; `digit` decides its digest.
  static v1::UnitCompletion Done(const v1::Lease& lease, char digit = 'a');
  // Does every unit of everything there is until `name` ends.
  JobInfo WorkOff(const std::string& worker, const std::string& name);

  // Of servers started from now on: none, so that jobs fail and wait where a test looks.
  Duration judging_ = Duration::zero();
  FakeStorage storage_{/*units=*/3};
  MemoryJobStore store_{SystemClock()};
  std::unique_ptr<Server> server_;
  std::unique_ptr<MergeClient> client_;
  std::unique_ptr<v1::WorkerService::Stub> worker_;
  uint64_t sequence_ = 0;
};

}  // namespace merganser

#endif  // MERGANSER_TESTS_COORDINATOR_SERVICE_SERVICE_FIXTURE_H_
