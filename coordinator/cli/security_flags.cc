#include "coordinator/cli/security_flags.h"

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "common/base/status.h"
#include "common/prepare/prepare.h"

namespace merganser::cli {
namespace {

void AddPlaintext(CLI::App* command, bool& plaintext, const char* what) {
  command->add_flag(kPlaintextFlag, plaintext, what);
}

}  // namespace

void AddClientSecurity(CLI::App* command, ChannelSecurity& security) {
  command->add_option("--token-file", security.token_file,
                      "File of the token to show (else $MERGANSER_TOKEN, else the one that this "
                      "user's coordinator left)");
  command->add_option("--tls-ca", security.tls_ca,
                      "Connect with TLS: PEM of the CA that signed the coordinator's certificate");
  command->add_option("--tls-cert", security.tls_cert,
                      "PEM of the certificate to show to a coordinator with --tls-client-ca");
  command->add_option("--tls-key", security.tls_key, "PEM of its private key");
  AddPlaintext(command, security.plaintext_beyond_loopback,
               "Send the token without TLS to another machine, where others can read it");
}

void AddServerSecurity(CLI::App* command, ServerSecurity& security) {
  command->add_option("--token-file", security.token_file,
                      "File of tokens and their roles, read again when it changes (else "
                      "$MERGANSER_TOKEN as an admin's, else a random one for this user's clients)");
  command->add_option("--tls-cert", security.tls_cert, "Serve TLS: PEM of the certificate chain");
  command->add_option("--tls-key", security.tls_key, "PEM of its private key");
  command->add_option("--tls-client-ca", security.tls_client_ca,
                      "Ask for clients' certificates: PEM of the CA that signed them");
  AddPlaintext(command, security.plaintext_beyond_loopback,
               "Listen beyond loopback without TLS, where others can read tokens and requests");
  command->add_flag("--behind-proxy", security.behind_proxy,
                    "Listen on loopback to a proxy that says whose each connection is (PROXY "
                    "protocol 1 or 2: send-proxy-v2 of HAProxy, proxy_protocol of nginx)");
}

void AddRoots(CLI::App* command, std::vector<std::string>& roots) {
  command
      ->add_option("--allow-root", roots,
                   "Folder or URI below which jobs may read and write; may be repeated (default: "
                   "everywhere)")
      ->allow_extra_args(false);
}

std::string TokenFromEnvironment() {
  const char* token = std::getenv("MERGANSER_TOKEN");
  return token == nullptr ? "" : token;
}

absl::StatusOr<AllowedRoots> MakeRoots(const std::vector<std::string>& texts,
                                       std::string_view who) {
  absl::StatusOr<AllowedRoots> roots =
      AllowedRoots::Make(texts, RecipeDirectories("").front(), who);
  if (!roots.ok()) return Annotate(roots.status(), "--allow-root");
  return roots;
}

}  // namespace merganser::cli
