// The coordinator as a server: both services, health and reflection on one port.
#ifndef MERGANSER_COORDINATOR_SERVICE_SERVER_H_
#define MERGANSER_COORDINATOR_SERVICE_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "coordinator/service/job_manager.h"
#include "coordinator/service/job_run.h"
#include "coordinator/service/job_store.h"

namespace merganser {

struct ServerOptions {
  std::string listen = "127.0.0.1:0";  // HOST:PORT; port 0 takes a free one
  JobManagerOptions jobs;
};

// The connection is not encrypted and nobody is asked who they are: to be
// listened to on networks where every peer may submit jobs.
class Server {
 public:
  // kUnavailable when the address cannot be bound (taken, or not of this
  // machine). `clock` and `store` must outlive the server.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       const Clock& clock, JobStore& store,
                                                       JobRunFactory runs = EngineJobRuns());
  ~Server();

  // What was bound; the host is that of ServerOptions::listen.
  int port() const { return port_; }
  std::string address() const;

  JobManager& jobs();

  // In order: health says NOT_SERVING; with a durable store jobs are left as they are
  // and watchers told to come again, else jobs that run are ended, their partial output
  // removed, and watchers get the last state; calls in progress get two seconds; the
  // port closes. Idempotent; not thread-safe.
  void Shutdown();

 private:
  struct Impl;
  Server();

  std::string host_;
  int port_ = 0;
  std::unique_ptr<Impl> impl_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_SERVER_H_
