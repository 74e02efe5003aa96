// An HTTP/1.1 server for a handler: libmicrohttpd, within limits. Nothing of it shows here.
#ifndef MERGANSER_COORDINATOR_HTTP_SERVER_H_
#define MERGANSER_COORDINATOR_HTTP_SERVER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "coordinator/front/tls.h"
#include "coordinator/http/limits.h"
#include "coordinator/http/message.h"

namespace merganser::http {

struct ServerOptions {
  std::string listen;                     // HOST:PORT; port 0 takes a free one
  std::shared_ptr<front::TlsKeeper> tls;  // of TlsProtocol::kHttp1; none: no TLS
  bool behind_proxy = false;              // as front::FrontOptions has it
  Limits limits;
  // What it counts, and the routes that its handler's courses have; null: nobody looks.
  std::shared_ptr<MetricRegistry> metrics;
  std::vector<std::string> routes;
  // Takes one line for people, a few a minute; may be empty. Called on any thread.
  LogSink log;
};

// Two threads, one for connections and one for requests, on which nothing waits, and those of
// `limits` on which answers are made.
class Server {
 public:
  // Listens; connections wait until Serve. Errors as front::Listen has them.
  static absl::StatusOr<std::unique_ptr<Server>> Open(ServerOptions options);
  ~Server();  // Stop
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  uint16_t port() const;
  // Once. SIGPIPE must be ignored. kResourceExhausted where the system gives no thread.
  absl::Status Serve(std::shared_ptr<Handler> handler);
  // Ends streams, finishes answers that are being made, and closes the port. Idempotent; for one
  // thread.
  void Stop();

  struct Impl;  // of server.cc alone

 private:
  explicit Server(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_SERVER_H_
