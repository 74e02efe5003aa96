// A WorkerService that does as a test says: one script line an answer.
#ifndef MERGANSER_TESTS_WORKER_SOURCES_GRPC_FAKE_COORDINATOR_H_
#define MERGANSER_TESTS_WORKER_SOURCES_GRPC_FAKE_COORDINATOR_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "grpcpp/grpcpp.h"
#include "proto/merganser/v1/worker_service.grpc.pb.h"

namespace merganser {

// Thread-safe. Serves on a loopback port from construction to destruction.
class FakeCoordinator final : public v1::WorkerService::Service {
 public:
  using Handler = std::function<absl::Status(const v1::SyncRequest&, v1::SyncResponse&)>;

  // `port` 0 takes a free one. `output_uri` is what plans name.
  FakeCoordinator(const std::string& output_uri, int port = 0);
  ~FakeCoordinator() override;

  std::string address() const;
  int port() const { return port_; }

  // Answers with epoch and acknowledgements, until Handle sets another. What a
  // test's handler adds comes on top of those.
  void Handle(Handler handler);
  void SetEpoch(uint64_t epoch);
  // The plan's job uid; others are NOT_FOUND.
  void SetJob(const std::string& uid);

  // Waits until a request fulfils `wanted`, looking at all so far; returns it.
  v1::SyncRequest Await(const std::function<bool(const v1::SyncRequest&)>& wanted);
  size_t calls() const;

  grpc::Status Sync(grpc::ServerContext* context, const v1::SyncRequest* request,
                    v1::SyncResponse* response) override;
  grpc::Status GetJobPlan(grpc::ServerContext* context, const v1::GetJobPlanRequest* request,
                          grpc::ServerWriter<v1::JobPlanChunk>* writer) override;

 private:
  const std::string output_uri_;
  int port_ = 0;
  mutable Mutex mutex_;
  CondVar changed_;
  Handler handler_ MERGANSER_GUARDED_BY(mutex_);
  uint64_t epoch_ MERGANSER_GUARDED_BY(mutex_) = 1;
  std::string job_ MERGANSER_GUARDED_BY(mutex_) = "job";
  std::vector<v1::SyncRequest> requests_ MERGANSER_GUARDED_BY(mutex_);
  std::unique_ptr<grpc::Server> server_;
};

// Adds a lease of `unit` to an answer.
void AddLease(v1::SyncResponse& response, uint32_t unit, const std::string& token,
              const std::string& job = "job");

}  // namespace merganser

#endif  // MERGANSER_TESTS_WORKER_SOURCES_GRPC_FAKE_COORDINATOR_H_
