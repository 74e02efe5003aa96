#include "coordinator/service/security.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_credentials_options.h"
#include "proto/channel/address.h"
#include "proto/channel/security.h"
#include "proto/channel/tls_files.h"

namespace merganser {
namespace {

namespace experimental = grpc::experimental;

constexpr unsigned kRereadSeconds = 2;

}  // namespace

absl::Status CheckServerSecurity(const std::string& listen, const ServerSecurity& security) {
  if (security.tls_cert.empty() != security.tls_key.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("found ", security.tls_cert.empty() ? "--tls-key" : "--tls-cert",
                     " alone, expected --tls-cert and --tls-key together"));
  }
  if (!security.tls_client_ca.empty() && security.tls_cert.empty()) {
    return absl::InvalidArgumentError(
        "found --tls-client-ca without --tls-cert and --tls-key, expected all three: clients show "
        "certificates over TLS alone");
  }
  if (IsLoopback(listen)) return absl::OkStatus();
  const std::string where =
      absl::StrCat("--listen ", OneLine(listen), ": found an address beyond loopback and ");
  if (security.tls_cert.empty() && !security.plaintext_beyond_loopback) {
    return absl::InvalidArgumentError(absl::StrCat(
        where,
        "no TLS, expected --tls-cert and --tls-key: tokens are not sent where others can "
        "read them, unless ",
        std::string(kPlaintextFlag), " says that they may"));
  }
  if (security.roots.everything()) {
    return absl::InvalidArgumentError(
        absl::StrCat(where,
                     "no storage roots, expected --allow-root FOLDER-OR-URI for every place "
                     "that jobs may read and write (--allow-root / for all files)"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const ServerSecurity& security) {
  if (security.tls_cert.empty()) return grpc::InsecureServerCredentials();
  // Read here for their errors; the provider would only fail handshakes.
  MERGANSER_RETURN_IF_ERROR(ReadIdentity(security.tls_cert, security.tls_key).status());
  const bool mutual = !security.tls_client_ca.empty();
  if (mutual) {
    MERGANSER_RETURN_IF_ERROR(ReadCertificates(security.tls_client_ca, "--tls-client-ca").status());
  }
  experimental::TlsServerCredentialsOptions options(
      std::make_shared<experimental::FileWatcherCertificateProvider>(
          security.tls_key, security.tls_cert, security.tls_client_ca, kRereadSeconds));
  options.watch_identity_key_cert_pairs();
  if (mutual) {
    options.watch_root_certs();
    options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return experimental::TlsServerCredentials(options);
}

TokenHandout::~TokenHandout() {
  if (StampOf(path_) == stamp_) ::unlink(path_.c_str());
}

absl::StatusOr<std::unique_ptr<TokenHandout>> TokenHandout::Make(const std::string& address,
                                                                 const std::string& token) {
  MERGANSER_ASSIGN_OR_RETURN(const std::string folder, RuntimeFolder(/*create=*/true));
  const std::string path = absl::StrCat(folder, "/", TokenFileName(address));
  MERGANSER_ASSIGN_OR_RETURN(const FileStamp stamp,
                             WritePrivateFile(path, absl::StrCat(token, " admin\n")));
  return std::unique_ptr<TokenHandout>(new TokenHandout(path, stamp));
}

}  // namespace merganser
