#include "coordinator/service/security.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "coordinator/front/tls.h"
#include "proto/channel/address.h"
#include "proto/channel/security.h"
#include "proto/channel/tls_files.h"

namespace merganser {
namespace {

constexpr char kRootsExpected[] =
    "no storage roots, expected --allow-root FOLDER-OR-URI for every place that jobs may read and "
    "write (--allow-root / for all files)";

absl::Status CheckBehindProxy(const std::string& listen, const ServerSecurity& security,
                              const std::string& flag) {
  constexpr char kFlag[] = "--behind-proxy: found ";
  if (!IsLoopback(listen)) {
    return absl::InvalidArgumentError(
        absl::StrCat(kFlag, flag, " ", OneLine(listen),
                     ", an address beyond loopback, where anybody could say whose connection it "
                     "is; expected one such as 127.0.0.1:7471, and the proxy on this machine"));
  }
  if (security.token_file.empty() && security.token.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        kFlag,
        "no token, expected --token-file (or MERGANSER_TOKEN): users of other machines do not find "
        "one that is made for this user"));
  }
  if (security.roots.everything()) {
    return absl::InvalidArgumentError(absl::StrCat(kFlag, kRootsExpected));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckServerSecurity(const std::string& listen, const ServerSecurity& security,
                                 std::string_view flag_name) {
  const std::string flag(flag_name);
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
  if (security.behind_proxy) return CheckBehindProxy(listen, security, flag);
  if (IsLoopback(listen)) return absl::OkStatus();
  const std::string where =
      absl::StrCat(flag, " ", OneLine(listen), ": found an address beyond loopback and ");
  if (security.tls_cert.empty() && !security.plaintext_beyond_loopback) {
    return absl::InvalidArgumentError(absl::StrCat(
        where,
        "no TLS, expected --tls-cert and --tls-key: tokens are not sent where others can "
        "read them, unless ",
        std::string(kPlaintextFlag), " says that they may"));
  }
  if (security.roots.everything()) {
    return absl::InvalidArgumentError(absl::StrCat(where, kRootsExpected));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<front::TlsKeeper>> MakeTls(const ServerSecurity& security,
                                                          front::TlsProtocol protocol) {
  const auto read = [cert = security.tls_cert, key = security.tls_key,
                     ca = security.tls_client_ca]() -> absl::StatusOr<front::TlsTexts> {
    MERGANSER_ASSIGN_OR_RETURN(TlsIdentity identity, ReadIdentity(cert, key));
    front::TlsTexts texts;
    texts.certificates = std::move(identity.certificates);
    texts.key = std::move(identity.key);
    if (!ca.empty()) {
      MERGANSER_ASSIGN_OR_RETURN(texts.client_ca, ReadCertificates(ca, "--tls-client-ca"));
    }
    return texts;
  };
  return front::TlsKeeper::Start(read, security.log, protocol);
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
