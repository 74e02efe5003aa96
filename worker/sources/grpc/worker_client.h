// WorkerService as plain structs and absl::Status.
#ifndef MERGANSER_WORKER_SOURCES_GRPC_WORKER_CLIENT_H_
#define MERGANSER_WORKER_SOURCES_GRPC_WORKER_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/storage/stores.h"
#include "proto/channel/security.h"
#include "worker/sources/grpc/lease_book.h"
#include "worker/unit_source.h"

namespace grpc {
class ClientContext;
template <class R>
class ClientReader;
}  // namespace grpc

namespace merganser {

namespace v1 {
class JobPlanChunk;
}  // namespace v1

struct SyncCall {
  std::string worker;
  uint64_t sequence = 0;
  uint64_t epoch = 0;
  uint32_t threads = 0;
  uint64_t memory = 0;
  std::string simd;
  std::string host;
  std::string version;
  LeaseState leases;
  uint32_t wanted = 0;
  bool draining = false;
};

struct SyncReply {
  uint64_t epoch = 0;
  std::vector<HeldLease> leases;
  std::vector<std::string> revoked;
  std::vector<std::string> acknowledged;
  Duration next_sync_after{};
};

// Thread-safe. A call that is cancelled ends with kCancelled.
class WorkerClient {
 public:
  // `coordinator` is HOST:PORT. Nothing is connected yet. `stores` open what
  // jobs read and write.
  WorkerClient(const std::string& coordinator, const ChannelSecurity& security,
               const Stores& stores);
  ~WorkerClient();

  // A token that was refused and has changed since is kUnavailable: the next call has
  // another one.
  absl::StatusOr<SyncReply> Sync(const SyncCall& call, Duration timeout);

  // Fetches the plan and opens the job's stores. kNotFound: the job is over.
  // Other failures that are not IsRetryable concern the job.
  absl::StatusOr<std::shared_ptr<const JobContext>> FetchJob(const std::string& job_uid,
                                                             Duration timeout);

  // Fetches the state of a round of `job`. kNotFound: the round is over.
  absl::StatusOr<std::shared_ptr<const Gates>> FetchGates(const std::string& job_uid,
                                                          uint32_t round, const JobContext& job,
                                                          Duration timeout);

  // Ends the fetching calls in progress and refuses later ones.
  void CancelFetches();
  // The same for all calls.
  void Cancel();

 private:
  struct Impl;
  using Open =
      std::function<std::unique_ptr<grpc::ClientReader<v1::JobPlanChunk>>(grpc::ClientContext*)>;

  // All pieces of a stream, at most `limit` bytes of them.
  absl::StatusOr<std::string> ReadStream(const Open& open, size_t limit, const std::string& what,
                                         Duration timeout);

  std::unique_ptr<Impl> impl_;
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_SOURCES_GRPC_WORKER_CLIENT_H_
