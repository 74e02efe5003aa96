// grpc.health.v1.Health: whether the coordinator serves, for probes. Needs no token.
#ifndef MERGANSER_COORDINATOR_SERVICE_HEALTH_H_
#define MERGANSER_COORDINATOR_SERVICE_HEALTH_H_

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "proto/grpc/health/v1/health.grpc.pb.h"

namespace merganser {

// Whoever connects may watch: an open stream holds memory, but no thread. As many as the front
// lets strangers have streams, of which it gives one peer half.
inline constexpr size_t kMaxHealthWatchers = 512;

// Thread-safe.
class HealthService final : public grpc::health::v1::Health::CallbackService {
 public:
  // `services` are known by their full names, and "" is the server. Not serving yet. While
  // `full` says true, Check answers that nobody is served; quick, and called on any thread.
  explicit HealthService(const std::vector<std::string>& services,
                         std::function<bool()> full = nullptr)
      : services_(services.begin(), services.end()), full_(std::move(full)) {
    services_.insert("");
  }

  // Of all services. Tells those who watch.
  void SetServing(bool serving);
  // Tells those who watch that nobody serves, and ends their streams, also later ones.
  void Shutdown();

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const grpc::health::v1::HealthCheckRequest* request,
                                  grpc::health::v1::HealthCheckResponse* response) override;
  grpc::ServerWriteReactor<grpc::health::v1::HealthCheckResponse>* Watch(
      grpc::CallbackServerContext* context,
      const grpc::health::v1::HealthCheckRequest* request) override;

 private:
  class Watcher;
  using Status = grpc::health::v1::HealthCheckResponse;

  Status::ServingStatus Now() const MERGANSER_REQUIRES(mutex_) {
    return serving_ ? Status::SERVING : Status::NOT_SERVING;
  }

  std::set<std::string> services_;  // not changed after construction
  const std::function<bool()> full_;
  Mutex mutex_;  // taken before a watcher's
  bool serving_ MERGANSER_GUARDED_BY(mutex_) = false;
  bool ended_ MERGANSER_GUARDED_BY(mutex_) = false;
  std::set<Watcher*> watchers_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_HEALTH_H_
