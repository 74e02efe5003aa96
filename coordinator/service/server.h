// The coordinator as a server: both services, health and reflection on one port.
#ifndef MERGANSER_COORDINATOR_SERVICE_SERVER_H_
#define MERGANSER_COORDINATOR_SERVICE_SERVER_H_

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "coordinator/service/auth/authorizer.h"
#include "coordinator/service/job_manager.h"
#include "coordinator/service/job_run.h"
#include "coordinator/service/job_store.h"
#include "coordinator/service/merge_api.h"
#include "coordinator/service/security.h"
#include "coordinator/service/watch_streams.h"

namespace merganser {

struct ServerOptions {
  std::string listen = "127.0.0.1:0";  // HOST:PORT; port 0 takes a free one
  JobManagerOptions jobs;
  // How long CreateJob looks at a request's models before it accepts them unseen; zero:
  // not at all.
  Duration judging = std::chrono::seconds(3);
  ServerSecurity security;
  // Those that serve calls, one each: three eighths for calls of users, of which one owner may
  // have half, as many for those of workers, and the rest for calls of users who have left.
  // Further ones are refused with RESOURCE_EXHAUSTED and repeated. Watchers hold none.
  int call_threads = 256;
  // Streams of WatchJob; one owner may have half.
  int watchers = kMaxWatchers;
  // Descriptors that others of this process take, beside the few of every process.
  size_t kept_descriptors = 0;
};

// Every call but health needs a token with the role that MethodRoles names.
class Server {
 public:
  // kUnavailable when the address cannot be bound (taken, or not of this machine);
  // else a failure means that the options are wrong. `clock` and `store` must outlive
  // the server. Without `runs`, EngineJobRuns within the roots of the options.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       const Clock& clock, JobStore& store,
                                                       JobRunFactory runs = nullptr);
  ~Server();

  // What was bound; the host is that of ServerOptions::listen.
  int port() const { return port_; }
  std::string address() const;
  // The file of the token that was made because none was given; empty if one was.
  std::string token_file() const;

  JobManager& jobs();
  MergeApi& api();
  Authorizer& authorizer();
  // The token that was made, or given as such; empty where there is a file of them.
  const std::string& token() const;
  // Whether calls are served. kUnavailable says why not. Thread-safe; takes microseconds.
  absl::Status Ready() const;

  // Asks at its own port whether connections are accepted. kUnavailable where they are not within
  // `patience`. On any thread; blocks.
  absl::Status CheckPort(Duration patience) const;

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
