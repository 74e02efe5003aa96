// The flags of both ends of a connection, and of storage roots.
#ifndef MERGANSER_COORDINATOR_CLI_SECURITY_FLAGS_H_
#define MERGANSER_COORDINATOR_CLI_SECURITY_FLAGS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/storage/roots.h"
#include "coordinator/service/security.h"
#include "proto/channel/security.h"

namespace CLI {
class App;
}  // namespace CLI

namespace merganser::cli {

// --tls-ca, --tls-cert, --tls-key, --token-file and --plaintext-beyond-loopback of a
// client or worker. The token itself comes from the environment alone (a command line
// is everybody's to read).
void AddClientSecurity(CLI::App* command, ChannelSecurity& security);

// Those of a coordinator: --tls-cert, --tls-key, --tls-client-ca, --token-file,
// --plaintext-beyond-loopback and --behind-proxy.
void AddServerSecurity(CLI::App* command, ServerSecurity& security);

// --allow-root, any number of times.
void AddRoots(CLI::App* command, std::vector<std::string>& roots);

// $MERGANSER_TOKEN; empty where it is not set.
std::string TokenFromEnvironment();

// `texts` as roots, relative ones against the current directory.
absl::StatusOr<AllowedRoots> MakeRoots(const std::vector<std::string>& texts, std::string_view who);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_SECURITY_FLAGS_H_
