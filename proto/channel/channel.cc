#include "proto/channel/channel.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/private_file.h"
#include "common/base/status.h"
#include "grpcpp/grpcpp.h"
#include "proto/channel/address.h"
#include "proto/channel/tls_files.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeCredentials(
    const ChannelSecurity& security) {
  if (security.tls_cert.empty() != security.tls_key.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("found ", security.tls_cert.empty() ? "--tls-key" : "--tls-cert",
                     " alone, expected --tls-cert and --tls-key together"));
  }
  if (security.tls_ca.empty()) {
    if (security.tls_cert.empty()) return grpc::InsecureChannelCredentials();
    return absl::InvalidArgumentError(
        "found --tls-cert without --tls-ca, expected also the CA that signed the coordinator's "
        "certificate (/etc/ssl/certs/ca-certificates.crt for the system's)");
  }
  grpc::SslCredentialsOptions options;
  MERGANSER_ASSIGN_OR_RETURN(options.pem_root_certs, ReadCertificates(security.tls_ca, "--tls-ca"));
  if (!security.tls_cert.empty()) {
    MERGANSER_ASSIGN_OR_RETURN(TlsIdentity identity,
                               ReadIdentity(security.tls_cert, security.tls_key));
    options.pem_cert_chain = std::move(identity.certificates);
    options.pem_private_key = std::move(identity.key);
  }
  return grpc::SslCredentials(options);
}

absl::Status CheckPlaintext(const std::string& address, const ChannelSecurity& security) {
  const bool hidden = !security.tls_ca.empty() || IsLoopback(address);
  if (hidden || security.plaintext_beyond_loopback) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "coordinator ", address,
      ": found an address beyond loopback and no TLS, expected --tls-ca: a token is not sent where "
      "others can read it, unless ",
      std::string(kPlaintextFlag), " says that they may"));
}

// What the transport's words mean, as far as somebody can do something about it.
std::string TlsAdvice(std::string_view message, const ChannelSecurity& security) {
  const auto says = [&](std::string_view text) {
    return message.find(text) != std::string_view::npos;
  };
  const bool tls = !security.tls_ca.empty();
  if (tls && (says("certificate verify failed") || says("CERTIFICATE_VERIFY_FAILED"))) {
    return absl::StrCat("its certificate was not signed by the CA in --tls-ca ",
                        OneLine(security.tls_ca),
                        " (or has expired); give the CA that signed the coordinator's --tls-cert");
  }
  if (tls && says("in peer certificate")) {
    return "its certificate is for other names than this address; connect by a name in it, or "
           "have the coordinator's --tls-cert made for this one (subjectAltName)";
  }
  if (tls && (says("wrong version number") || says("WRONG_VERSION_NUMBER"))) {
    return "it speaks no TLS; is it another port, or a coordinator without --tls-cert?";
  }
  if (tls && (says("certificate required") || says("CERTIFICATE_REQUIRED") ||
              says("bad certificate") || says("unknown ca") || says("UNKNOWN_CA"))) {
    return "it refuses this side's certificate; give --tls-cert and --tls-key that a CA in the "
           "coordinator's --tls-client-ca signed";
  }
  return "";
}

}  // namespace

absl::Status CheckSecurity(const std::string& address, const ChannelSecurity& security) {
  MERGANSER_RETURN_IF_ERROR(MakeCredentials(security).status());
  MERGANSER_ASSIGN_OR_RETURN(const CurrentToken token, TokenSource(address, security).Current());
  return token.text.has_value() ? CheckPlaintext(address, security) : absl::OkStatus();
}

CoordinatorChannel::CoordinatorChannel(const std::string& address, const ChannelSecurity& security,
                                       const grpc::ChannelArguments& arguments)
    : address_(address), security_(security), token_(address, security) {
  absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> credentials = MakeCredentials(security);
  status_ = credentials.status();
  channel_ = grpc::CreateCustomChannel(
      address, credentials.ok() ? *credentials : grpc::InsecureChannelCredentials(), arguments);
}

absl::StatusOr<uint64_t> CoordinatorChannel::Authorize(grpc::ClientContext& context) {
  MERGANSER_RETURN_IF_ERROR(status_);
  MERGANSER_ASSIGN_OR_RETURN(const CurrentToken token, token_.Current());
  if (token.text.has_value()) {
    MERGANSER_RETURN_IF_ERROR(CheckPlaintext(address_, security_));
    // As metadata: grpc refuses call credentials on a channel without TLS.
    context.AddMetadata("authorization", absl::StrCat("Bearer ", *token.text));
  }
  return token.number;
}

bool CoordinatorChannel::TokenChanged(uint64_t number) {
  const absl::StatusOr<CurrentToken> token = token_.Current();
  return token.ok() && token->number != number;
}

absl::Status CoordinatorChannel::Explain(const absl::Status& status) {
  if (status.ok()) return status;
  const std::string message(status.message());
  if (absl::IsUnauthenticated(status)) {
    const std::string origin = token_.Origin();
    std::string advice = "; the token came from " + origin;
    if (origin.empty()) {
      const absl::StatusOr<std::string> folder = RuntimeFolder(/*create=*/false);
      advice = absl::StrCat(
          "; give --token-file or set MERGANSER_TOKEN (the token of a coordinator that this user "
          "started without one would be ",
          folder.ok() ? absl::StrCat(OneLine(*folder), "/", TokenFileName(address_))
                      : "in XDG_RUNTIME_DIR/merganser",
          ")");
    }
    absl::Status explained(status.code(), absl::StrCat(message, advice));
    status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
      explained.SetPayload(url, payload);
    });
    return explained;
  }
  if (absl::IsUnavailable(status) && ReasonOf(status).empty()) {
    const std::string advice = TlsAdvice(message, security_);
    if (!advice.empty())
      return absl::UnauthenticatedError(absl::StrCat(advice, " (", message, ")"));
    const std::string_view text = message;
    // One that was never made; what ends later has other causes.
    if (text.find("failed to connect") != text.npos &&
        (text.find("Socket closed") != text.npos || text.find("Connection reset") != text.npos ||
         text.find("Endpoint read failed") != text.npos)) {
      return absl::UnavailableError(absl::StrCat(
          message, security_.tls_ca.empty()
                       ? " (a coordinator with --tls-cert ends connections without --tls-ca so)"
                       : " (a coordinator with --tls-client-ca ends connections so that do not "
                         "show a certificate of that CA: --tls-cert, --tls-key)"));
    }
  }
  return status;
}

}  // namespace merganser
