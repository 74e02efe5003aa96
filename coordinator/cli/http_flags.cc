#include "coordinator/cli/http_flags.h"

#include <CLI/CLI.hpp>
#include <string>

namespace merganser::cli {
namespace {

CLI::Option* AddHttp(CLI::App* command, HttpFlags& flags, const std::string& what) {
  CLI::Option* http = command->add_option("--http", flags.listen, what);
  command
      ->add_option("--http-name", flags.names,
                   "Host that requests to it may name, beside addresses, localhost and this "
                   "machine's name; may be repeated")
      ->allow_extra_args(false)
      ->needs(http);
  command
      ->add_option("--metrics-token", flags.metrics_token,
                   "File of tokens, one of which whoever asks for /metrics has to show")
      ->needs(http);
  return http;
}

}  // namespace

void AddCoordinatorHttp(CLI::App* command, HttpFlags& flags) {
  CLI::Option* http = AddHttp(command, flags,
                              "HOST:PORT of pages, JSON API, metrics and health (HTTP, or HTTPS "
                              "with --tls-cert); port 0 takes a free one");
  command
      ->add_option("--login-link", flags.login_link,
                   "File, for this user alone, for the address of a link that logs in once, within "
                   "10 minutes, as the one whose token this process makes")
      ->needs(http);
}

void AddWorkerHttp(CLI::App* command, HttpFlags& flags) {
  CLI::Option* http = AddHttp(command, flags,
                              "HOST:PORT of metrics and health (HTTP, or HTTPS with "
                              "--http-tls-cert); port 0 takes a free one");
  command
      ->add_option("--http-tls-cert", flags.tls_cert,
                   "Serve these over TLS: PEM of the certificate chain")
      ->needs(http);
  command->add_option("--http-tls-key", flags.tls_key, "PEM of its private key")->needs(http);
  command
      ->add_flag("--http-plaintext", flags.plaintext,
                 "Serve them beyond loopback without TLS: they hold no secrets")
      ->needs(http);
}

}  // namespace merganser::cli
