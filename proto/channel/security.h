// How a client reaches a coordinator, and as whom. Plain data.
#ifndef MERGANSER_PROTO_CHANNEL_SECURITY_H_
#define MERGANSER_PROTO_CHANNEL_SECURITY_H_

#include <string>

namespace merganser {

// The flag of both sides that accepts what nobody should do unawares.
inline constexpr char kPlaintextFlag[] = "--plaintext-beyond-loopback";

struct ChannelSecurity {
  // PEM files. With a CA the connection is TLS and the coordinator must show a
  // certificate that it signed; certificate and key are shown to a coordinator that
  // asks for them (mutual TLS).
  std::string tls_ca;
  std::string tls_cert;
  std::string tls_key;
  // The token itself, or a file that holds it. Without either, what a coordinator of
  // this user left in RuntimeFolder().
  std::string token;
  std::string token_file;
  // Send the token where others can read it.
  bool plaintext_beyond_loopback = false;
};

}  // namespace merganser

#endif  // MERGANSER_PROTO_CHANNEL_SECURITY_H_
