// A coordinator as its clients and workers connect to it.
#ifndef MERGANSER_PROTO_CHANNEL_CHANNEL_H_
#define MERGANSER_PROTO_CHANNEL_CHANNEL_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/channel/security.h"
#include "proto/channel/token_source.h"

namespace grpc {
class Channel;
class ChannelArguments;
class ClientContext;
}  // namespace grpc

namespace merganser {

// Whether `security` can be used for `address` at all: files that can be read, a
// token that may be sent that way. What else is wrong shows in the calls.
absl::Status CheckSecurity(const std::string& address, const ChannelSecurity& security);

// Thread-safe.
class CoordinatorChannel {
 public:
  // `address` is HOST:PORT. Nothing is connected yet. With TLS one thread follows the files.
  CoordinatorChannel(const std::string& address, const ChannelSecurity& security,
                     const grpc::ChannelArguments& arguments);

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  // Gives a call its token and returns that token's number. An error, if the TLS
  // files cannot be used, the token cannot be had, or it would travel in plain text
  // beyond loopback.
  absl::StatusOr<uint64_t> Authorize(grpc::ClientContext& context);
  // For a call that needs no token: an error if the TLS files cannot be used.
  absl::Status status() const { return status_; }

  // The outcome of a call for people: says what to do about tokens that are missing,
  // unknown or too weak, and makes certificates that do not fit kUnauthenticated
  // (no repetition mends them, unless the files are being replaced). The rest is returned as it is.
  absl::Status Explain(const absl::Status& status);
  // Whether the token is another one now than the one of that number.
  bool TokenChanged(uint64_t number);

 private:
  absl::Status ExplainToken(const absl::Status& status);

  const std::string address_;
  const ChannelSecurity security_;
  TokenSource token_;
  const absl::Status status_;
  const std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace merganser

#endif  // MERGANSER_PROTO_CHANNEL_CHANNEL_H_
