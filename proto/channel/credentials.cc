#include "proto/channel/credentials.h"

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_certificate_verifier.h"
#include "grpcpp/security/tls_credentials_options.h"
#include "proto/channel/tls_files.h"

namespace merganser {
namespace {

// As often as a coordinator looks at its own.
constexpr unsigned kLookAgainSeconds = 2;

}  // namespace

absl::Status CheckTlsFiles(const ChannelSecurity& security) {
  if (security.tls_cert.empty() != security.tls_key.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("found ", security.tls_cert.empty() ? "--tls-key" : "--tls-cert",
                     " alone, expected --tls-cert and --tls-key together"));
  }
  if (security.tls_ca.empty()) {
    if (security.tls_cert.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(
        "found --tls-cert without --tls-ca, expected also the CA that signed the coordinator's "
        "certificate (/etc/ssl/certs/ca-certificates.crt for the system's)");
  }
  MERGANSER_RETURN_IF_ERROR(ReadCertificates(security.tls_ca, "--tls-ca").status());
  if (security.tls_cert.empty()) return absl::OkStatus();
  return ReadIdentity(security.tls_cert, security.tls_key).status();
}

std::shared_ptr<grpc::ChannelCredentials> MakeChannelCredentials(const ChannelSecurity& security) {
  if (security.tls_ca.empty()) return grpc::InsecureChannelCredentials();
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          security.tls_key, security.tls_cert, security.tls_ca, kLookAgainSeconds));
  options.watch_root_certs();
  if (!security.tls_cert.empty()) options.watch_identity_key_cert_pairs();
  // The name is held against the certificate once more with each call (set_check_call_host, the
  // default), by a stricter rule: an address is no common name.
  options.set_certificate_verifier(
      std::make_shared<grpc::experimental::HostNameCertificateVerifier>());
  return grpc::experimental::TlsCredentials(options);
}

std::string TlsAdvice(std::string_view message, const ChannelSecurity& security) {
  const auto says = [&](std::string_view text) {
    return message.find(text) != std::string_view::npos;
  };
  if (security.tls_ca.empty()) return "";
  if (says("certificate verify failed") || says("CERTIFICATE_VERIFY_FAILED")) {
    return absl::StrCat("its certificate was not signed by the CA in --tls-ca ",
                        OneLine(security.tls_ca),
                        " (or has expired); give the CA that signed the coordinator's --tls-cert");
  }
  if (says("Hostname Verification Check failed") || says("does not match SSL server name")) {
    return "its certificate is for other names than this address; connect by a name in it, or "
           "have the coordinator's --tls-cert made for this one (subjectAltName)";
  }
  if (says("wrong version number") || says("WRONG_VERSION_NUMBER")) {
    return "it speaks no TLS; is it another port, or a coordinator without --tls-cert?";
  }
  if (says("certificate required") || says("CERTIFICATE_REQUIRED") || says("bad certificate") ||
      says("unknown ca") || says("UNKNOWN_CA")) {
    return "it refuses this side's certificate; give --tls-cert and --tls-key that a CA in the "
           "coordinator's --tls-client-ca signed";
  }
  // gRPC's, where it could make nothing of the files.
  if (says("Failed to create security handshaker")) {
    return "the files of --tls-ca, --tls-cert and --tls-key could not be used a moment ago";
  }
  return "";
}

}  // namespace merganser
