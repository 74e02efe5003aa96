// Who may reach a coordinator, what for, and where it may read and write.
#ifndef MERGANSER_COORDINATOR_SERVICE_SECURITY_H_
#define MERGANSER_COORDINATOR_SERVICE_SECURITY_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/log.h"
#include "common/base/private_file.h"
#include "common/storage/roots.h"
#include "coordinator/service/auth/token_keeper.h"

namespace merganser::front {
class TlsKeeper;
enum class TlsProtocol : uint8_t;
}  // namespace merganser::front

namespace merganser {

struct ServerSecurity {
  // PEM files, certificate and key together: TLS. With a CA for clients they must show
  // a certificate that it signed (mutual TLS). All are read again when they change.
  std::string tls_cert;
  std::string tls_key;
  std::string tls_client_ca;
  // A file of tokens, or one token with role admin. Without either a random one is made
  // and left where this user's clients find it (TokenHandout).
  std::string token_file;
  std::string token;
  // Where jobs may read and write.
  AllowedRoots roots;
  // Listen without TLS where others can listen in.
  bool plaintext_beyond_loopback = false;
  // Connections come from a proxy on this machine, which is believed when it says whose they are
  // (PROXY protocol): whoever reaches the proxy reaches the server.
  bool behind_proxy = false;
  // Takes one line for people; may be empty.
  LogSink log;
};

// kInvalidArgument, with the flag that mends it, when `security` is not enough for a
// server that listens at `listen`, as `flag` says (beyond loopback: TLS, or to be told that it is
// not wanted, and storage roots; behind a proxy: loopback, tokens and storage roots), or
// contradicts itself.
absl::Status CheckServerSecurity(const std::string& listen, const ServerSecurity& security,
                                 std::string_view flag = "--listen");

// Errors name the file and what is wrong with it. Files that replace these are taken
// within seconds, for new connections. While they do not fit each other, or are gone,
// there are no new connections; those there are go on. Precondition: there is a certificate.
absl::StatusOr<std::unique_ptr<front::TlsKeeper>> MakeTls(const ServerSecurity& security,
                                                          front::TlsProtocol protocol);

// A token that was made by a start of a coordinator, and its file.
class TokenHandout {
 public:
  ~TokenHandout();
  TokenHandout(const TokenHandout&) = delete;
  TokenHandout& operator=(const TokenHandout&) = delete;

  // The file that clients of `address` look for (TokenFileName in RuntimeFolder()). It
  // goes with the handout, unless another has taken its place.
  static absl::StatusOr<std::unique_ptr<TokenHandout>> Make(const std::string& address,
                                                            const std::string& token);

  const std::string& path() const { return path_; }

 private:
  TokenHandout(std::string path, FileStamp stamp) : path_(std::move(path)), stamp_(stamp) {}

  const std::string path_;
  const FileStamp stamp_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_SECURITY_H_
