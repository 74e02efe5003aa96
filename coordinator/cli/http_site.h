// What a process serves over HTTP (--http), from its flags to a server.
#ifndef MERGANSER_COORDINATOR_CLI_HTTP_SITE_H_
#define MERGANSER_COORDINATOR_CLI_HTTP_SITE_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/exposition.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "coordinator/cli/http_flags.h"
#include "coordinator/service/security.h"
#include "coordinator/service/server.h"

namespace merganser::http {
class Server;
class EventHub;
class Feed;
class MergeJson;
class MetricsTokens;
struct HubLimits;
struct SiteOptions;
}  // namespace merganser::http

namespace merganser::cli {

// Without --http it does nothing. For one thread.
class HttpSite {
 public:
  // Binds the port and reads the files: errors are the flags'. `identity` tells coordinators of a
  // machine apart, and stays from start to start. What is served is counted in `metrics`, and what
  // stands there is what /metrics tells.
  static absl::StatusOr<std::unique_ptr<HttpSite>> OpenCoordinators(
      const HttpFlags& flags, const ServerSecurity& security, const std::string& identity,
      std::shared_ptr<MetricRegistry> metrics);
  static absl::StatusOr<std::unique_ptr<HttpSite>> OpenWorkers(
      const HttpFlags& flags, LogSink log, std::shared_ptr<MetricRegistry> metrics);
  ~HttpSite();  // Stop

  // `server` must outlive this, or Stop.
  absl::Status ServeCoordinator(Server& server, const CommonLabels& labels);
  absl::Status ServeWorker(const CommonLabels& labels);

  // "http://127.0.0.1:7471"; empty without --http.
  std::string address() const;
  // That it takes at most.
  size_t descriptors() const { return descriptors_; }
  // Ends streams, answers what was asked, and closes the port. Idempotent.
  void Stop();

 private:
  HttpSite();
  static absl::StatusOr<std::unique_ptr<HttpSite>> Open(const HttpFlags& flags,
                                                        const ServerSecurity& security,
                                                        std::shared_ptr<MetricRegistry> metrics);
  http::HubLimits HubLimits() const;
  http::SiteOptions Options(const CommonLabels& labels);

  HttpFlags flags_;
  std::shared_ptr<MetricRegistry> metrics_;
  bool tls_ = false;
  bool behind_proxy_ = false;
  std::string instance_;
  size_t descriptors_ = 0, connections_ = 0;
  std::string link_;  // file of a login link that was written
  std::unique_ptr<http::MetricsTokens> metrics_tokens_;
  // Each uses what stands before it.
  std::unique_ptr<http::Feed> feed_;
  std::unique_ptr<http::EventHub> events_;
  std::unique_ptr<http::MergeJson> api_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_HTTP_SITE_H_
