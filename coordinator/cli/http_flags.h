// The flags of --http.
#ifndef MERGANSER_COORDINATOR_CLI_HTTP_FLAGS_H_
#define MERGANSER_COORDINATOR_CLI_HTTP_FLAGS_H_

#include "coordinator/cli/commands.h"

namespace CLI {
class App;
}  // namespace CLI

namespace merganser::cli {

// --http, --http-name, --metrics-token and --login-link; certificates are those of --listen.
void AddCoordinatorHttp(CLI::App* command, HttpFlags& flags);

// --http, --http-name, --metrics-token, and --http-tls-cert, --http-tls-key and --http-plaintext:
// a worker's other certificate is the one that it shows to its coordinator.
void AddWorkerHttp(CLI::App* command, HttpFlags& flags);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_HTTP_FLAGS_H_
