// The flags of --http.
#ifndef MERGANSER_COORDINATOR_CLI_HTTP_FLAGS_H_
#define MERGANSER_COORDINATOR_CLI_HTTP_FLAGS_H_

#include <string>
#include <vector>

namespace CLI {
class App;
}  // namespace CLI

namespace merganser::cli {

// What a process serves to browsers, probes and Prometheus.
struct HttpFlags {
  std::string listen = {};              // HOST:PORT; empty: nothing
  std::vector<std::string> names = {};  // hosts that requests may name
  std::string metrics_token = {};       // file; empty: metrics are everybody's
  // Of a worker: its own certificate, and whether it may do without beyond loopback. A
  // coordinator's are those of --listen.
  std::string tls_cert = {}, tls_key = {};
  bool plaintext = false;
  std::string login_link = {};  // of a coordinator: file for a link that logs in once
};

// --http, --http-name, --metrics-token and --login-link; certificates are those of --listen.
void AddCoordinatorHttp(CLI::App* command, HttpFlags& flags);

// --http, --http-name, --metrics-token, and --http-tls-cert, --http-tls-key and --http-plaintext:
// a worker's other certificate is the one that it shows to its coordinator.
void AddWorkerHttp(CLI::App* command, HttpFlags& flags);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_HTTP_FLAGS_H_
