// Units from a coordinator over gRPC: `merganser worker`.
//
// One thread talks to the coordinator (heartbeats, results, new leases), a batcher's
// makes written units durable, several at once, before they are reported. The
// runner's threads never wait for the network but in Next().
#ifndef MERGANSER_WORKER_SOURCES_GRPC_GRPC_SOURCE_H_
#define MERGANSER_WORKER_SOURCES_GRPC_GRPC_SOURCE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"
#include "common/storage/stores.h"
#include "proto/channel/security.h"
#include "worker/durable_batcher.h"
#include "worker/sources/grpc/lease_book.h"
#include "worker/unit_source.h"

namespace merganser {

class WorkerClient;
struct SyncCall;
struct SyncReply;

// Host, process and random digits: unique over all worker processes.
std::string MakeWorkerName();
// Of this machine, as names hold it.
std::string WorkerHostName();

struct GrpcSourceOptions {
  std::string coordinator;  // HOST:PORT
  ChannelSecurity security;
  Stores stores;       // where jobs may read and write
  std::string worker;  // MakeWorkerName()
  int threads = 1;
  uint64_t memory = 0;  // RunnerOptions::memory
  std::string simd;     // instruction set of the kernels, for the report
  std::string version;  // of the program, for people
  // Leases held beyond those that the runner has taken; 0 is threads + 1.
  int prefetch = 0;
  // Units that ended here and that the coordinator has yet to learn of: as many, and
  // no more are begun or asked for. So a slow disk, here or under the journal, slows
  // this worker down and piles nothing up. 0 is eight a thread.
  int max_undelivered = 0;
  Duration call_timeout = std::chrono::seconds(20);
  Duration plan_timeout = std::chrono::minutes(5);
  Duration min_backoff = std::chrono::milliseconds(100);
  Duration max_backoff = std::chrono::seconds(10);
  // How long Finish tries to take its leave when no result is at stake.
  Duration goodbye_timeout = std::chrono::seconds(2);
  // Told when the connection changes, of units that failed before or after they were worked on, and
  // of leases that the coordinator took back. May be empty.
  LogSink log;
};

// Thread-safe. While the coordinator is away units in flight go on, results wait,
// and calls are repeated with growing pauses, for ever; after Stop until Finish
// gives up. A coordinator that was
// started anew (a higher epoch) has none of the old leases: units in flight are
// dropped. An answer of an older epoch is ignored.
class GrpcUnitSource final : public UnitSource {
 public:
  // Starts the threads; a coordinator need not be there yet. Where the system refuses them,
  // Next says so.
  explicit GrpcUnitSource(const GrpcSourceOptions& options);
  // As Finish without waiting.
  ~GrpcUnitSource() override;

  // Blocks until a unit is leased and its job's plan is there. nullopt after
  // Stop. An error when the coordinator refuses this worker for good (another
  // numerics version, no such service, a token that it never took).
  absl::StatusOr<std::optional<LeasedUnit>> Next() override;
  bool Progress(const LeasedUnit& unit, uint64_t bytes) override;
  void Complete(const LeasedUnit& unit, UnitResult result) override;
  void Fail(const LeasedUnit& unit, absl::Status status) override;

  // Drains: leases that were not started are handed back, Next returns nullopt,
  // units in flight may end. Does not wait; from any thread.
  void Stop();

  // Stop, then waits until the coordinator knows of everything that is held, and
  // ends the threads. To be called after the runner returned. Waits at most
  // `timeout` for results and failures to be delivered (and as long as the store
  // takes to make a shard durable that it has begun with), at most
  // `goodbye_timeout` for the rest. kUnavailable counts the units whose end was
  // not delivered; they will be done again elsewhere.
  absl::Status Finish(Duration timeout);

 private:
  void SyncLoop();
  // One call; false when it was the last.
  bool SyncOnce();
  // Has the end of units told that are durable, or may not be.
  void TakeSettled(std::span<WrittenUnit> batch);
  // The unit of a lease that the book has started.
  absl::StatusOr<LeasedUnit> UnitOf(const HeldLease& lease);
  SyncCall PrepareCall() MERGANSER_REQUIRES(mutex_);
  // Both return what to log.
  std::vector<LogLine> TakeReply(const SyncCall& call, const SyncReply& reply)
      MERGANSER_REQUIRES(mutex_);
  std::vector<LogLine> TakeError(const absl::Status& status) MERGANSER_REQUIRES(mutex_);
  // The context of the lease's job, fetched if need be.
  absl::StatusOr<std::shared_ptr<const JobContext>> Context(const HeldLease& lease);
  // The state of the lease's round, fetched if need be; null where rounds have none.
  absl::StatusOr<std::shared_ptr<const Gates>> RoundGates(const HeldLease& lease,
                                                          const JobContext& job);
  // One of the caches below, to be looked into under the lock.
  template <typename T>
  using Cache = std::map<std::string, T> GrpcUnitSource::*;
  // What `cache` holds under `key`, else what `fetch` returns: by one thread at a
  // time, repeated with growing pauses while the failure may mend and the lease is
  // wanted.
  template <typename T, typename Fetch>
  absl::StatusOr<T> FetchOnce(const std::string& key, const HeldLease& lease, Cache<T> cache,
                              Fetch fetch);
  void SyncSoon() MERGANSER_REQUIRES(mutex_);
  // Units that ended here and that the coordinator does not know of.
  size_t undelivered() const MERGANSER_REQUIRES(mutex_);
  // Whether there are as many of them as may be.
  bool Congested() const MERGANSER_REQUIRES(mutex_);
  // Of a unit that failed outside of the runner; never throws.
  void TellFailed(const std::string& job, uint32_t unit, const absl::Status& status) const;
  // What the log calls the job.
  std::string JobOf(const std::string& uid) const MERGANSER_REQUIRES(mutex_);

  const GrpcSourceOptions options_;
  const size_t prefetch_;
  const size_t max_undelivered_;
  const std::unique_ptr<WorkerClient> client_;

  Mutex mutex_;
  CondVar changed_;  // anything below
  LeaseBook book_ MERGANSER_GUARDED_BY(mutex_);
  size_t unsettled_ MERGANSER_GUARDED_BY(mutex_) = 0;  // written, and not known to be durable
  std::map<std::string, std::shared_ptr<const JobContext>> contexts_ MERGANSER_GUARDED_BY(mutex_);
  // By job uid and round.
  std::map<std::string, std::shared_ptr<const Gates>> gates_ MERGANSER_GUARDED_BY(mutex_);
  std::set<std::string> fetching_ MERGANSER_GUARDED_BY(mutex_);  // keys of both
  uint64_t epoch_ MERGANSER_GUARDED_BY(mutex_) = 0;
  uint64_t sequence_ MERGANSER_GUARDED_BY(mutex_) = 0;
  MonotonicTime next_sync_ MERGANSER_GUARDED_BY(mutex_){};
  Backoff backoff_ MERGANSER_GUARDED_BY(mutex_);
  bool turned_away_ MERGANSER_GUARDED_BY(mutex_) = false;  // since it was last let in
  bool urgent_ MERGANSER_GUARDED_BY(mutex_) = false;       // do not wait for next_sync_
  bool starved_ MERGANSER_GUARDED_BY(mutex_) = false;      // the last answer had too few leases
  bool stopping_ MERGANSER_GUARDED_BY(mutex_) = false;
  bool said_goodbye_ MERGANSER_GUARDED_BY(mutex_) = false;
  bool closed_ MERGANSER_GUARDED_BY(mutex_) = false;  // threads end
  absl::Status fatal_ MERGANSER_GUARDED_BY(mutex_);

  DurableBatcher batcher_;  // behind what its thread calls
  Thread sync_thread_;
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_SOURCES_GRPC_GRPC_SOURCE_H_
