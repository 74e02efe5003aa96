#include "proto/channel/channel.h"

#include "absl/strings/str_cat.h"
#include "common/base/private_file.h"
#include "common/base/status.h"
#include "grpcpp/grpcpp.h"
#include "proto/channel/address.h"
#include "proto/channel/credentials.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

absl::Status CheckPlaintext(const std::string& address, const ChannelSecurity& security) {
  const bool hidden = !security.tls_ca.empty() || IsLoopback(address);
  if (hidden || security.plaintext_beyond_loopback) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "coordinator ", address,
      ": found an address beyond loopback and no TLS, expected --tls-ca: a token is not sent where "
      "others can read it, unless ",
      std::string(kPlaintextFlag), " says that they may"));
}

}  // namespace

absl::Status CheckSecurity(const std::string& address, const ChannelSecurity& security) {
  MERGANSER_RETURN_IF_ERROR(CheckTlsFiles(security));
  MERGANSER_ASSIGN_OR_RETURN(const CurrentToken token, TokenSource(address, security).Current());
  return token.text.has_value() ? CheckPlaintext(address, security) : absl::OkStatus();
}

CoordinatorChannel::CoordinatorChannel(const std::string& address, const ChannelSecurity& security,
                                       const grpc::ChannelArguments& arguments)
    : address_(address),
      security_(security),
      token_(address, security),
      status_(CheckTlsFiles(security)),
      channel_(grpc::CreateCustomChannel(
          address,
          status_.ok() ? MakeChannelCredentials(security) : grpc::InsecureChannelCredentials(),
          arguments)) {}

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

absl::Status CoordinatorChannel::ExplainToken(const absl::Status& status) {
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
  absl::Status explained(status.code(), absl::StrCat(status.message(), advice));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    explained.SetPayload(url, payload);
  });
  return explained;
}

absl::Status CoordinatorChannel::Explain(const absl::Status& status) {
  const std::string message(status.message());
  const auto says = [&](const char* text) { return message.find(text) != std::string::npos; };
  const bool transport = absl::IsUnavailable(status) && ReasonOf(status).empty();
  // A connection that was never made; what ends later has other causes.
  const bool refused =
      transport && says("failed to connect") &&
      (says("Socket closed") || says("Connection reset") || says("Endpoint read failed"));
  std::string advice;
  if (transport || absl::IsUnauthenticated(status)) advice = TlsAdvice(message, security_);
  if (refused || !advice.empty()) {
    // Files of ours that do not go together any more say it better than who was shown them.
    if (const absl::Status files = CheckTlsFiles(security_); !files.ok()) {
      advice = std::string(files.message());
    }
  }
  if (!advice.empty()) return absl::UnauthenticatedError(absl::StrCat(advice, " (", message, ")"));
  if (absl::IsUnauthenticated(status)) return ExplainToken(status);
  if (!refused) return status;
  return absl::UnavailableError(absl::StrCat(
      message, security_.tls_ca.empty()
                   ? " (a coordinator with --tls-cert ends connections without --tls-ca so)"
                   : " (a coordinator with --tls-client-ca ends connections so that do not "
                     "show a certificate of that CA: --tls-cert, --tls-key)"));
}

}  // namespace merganser
