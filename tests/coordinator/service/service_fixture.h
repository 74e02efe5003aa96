// A coordinator on a loopback port whose jobs touch no storage, and workers that
// speak Sync by hand.
#ifndef MERGANSER_TESTS_COORDINATOR_SERVICE_SERVICE_FIXTURE_H_
#define MERGANSER_TESTS_COORDINATOR_SERVICE_SERVICE_FIXTURE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/engine/unit_result.h"
#include "coordinator/service/client.h"
#include "coordinator/service/job_manager.h"
#include "coordinator/service/job_store.h"
#include "coordinator/service/server.h"
#include "gtest/gtest.h"
#include "proto/merganser/v1/worker_service.grpc.pb.h"
#include "tests/coordinator/service/fake_storage.h"

namespace merganser {

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
  // The same, but for what `change` makes of it.
  static v1::UnitCompletion Done(const v1::Lease& lease,
                                 const std::function<void(UnitResult&)>& change, char digit = 'a');
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
