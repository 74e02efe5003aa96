// TLS as a client has it, from its files.
#ifndef MERGANSER_PROTO_CHANNEL_CREDENTIALS_H_
#define MERGANSER_PROTO_CHANNEL_CREDENTIALS_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "proto/channel/security.h"

namespace grpc {
class ChannelCredentials;
}  // namespace grpc

namespace merganser {

// Whether the TLS files of `security` can be used as they are now: they can be read, go together
// and are in their days. kInvalidArgument or what the file system says, with flag and file.
absl::Status CheckTlsFiles(const ChannelSecurity& security);

// Credentials that follow their files: gRPC looks at them every two seconds, and connections that
// are made from then on use what they hold. While they do not go together no connection is made;
// files that are gone or empty change nothing. The coordinator must show a certificate of the CA
// for the name that it is connected to by. Without a CA: no TLS. Precondition: CheckTlsFiles.
std::shared_ptr<grpc::ChannelCredentials> MakeChannelCredentials(const ChannelSecurity& security);

// What the transport's words about a connection that was not made mean for people, as far as
// somebody can do something about it; else empty.
std::string TlsAdvice(std::string_view message, const ChannelSecurity& security);

}  // namespace merganser

#endif  // MERGANSER_PROTO_CHANNEL_CREDENTIALS_H_
