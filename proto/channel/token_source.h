// Where a client's token comes from.
#ifndef MERGANSER_PROTO_CHANNEL_TOKEN_SOURCE_H_
#define MERGANSER_PROTO_CHANNEL_TOKEN_SOURCE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/base/private_file.h"
#include "proto/channel/security.h"

namespace merganser {

struct CurrentToken {
  std::optional<std::string> text;
  uint64_t number = 0;  // another one whenever the text is
};

// Thread-safe.
class TokenSource {
 public:
  // The token or the file of `security`, else what a coordinator of this user left
  // in RuntimeFolder() for `address`.
  TokenSource(std::string address, const ChannelSecurity& security);

  // The token as it is now: a file is read again when it has changed. No text where
  // none was given and none is found. A file that was given and cannot be used, or
  // holds more than one token, is an error; one that once could goes on with what it
  // held.
  absl::StatusOr<CurrentToken> Current();

  // Where it comes from, for messages; never the token.
  std::string Origin() const;

 private:
  // The given file, or the first that is found; empty if none is.
  std::string FindFile() const;
  absl::StatusOr<std::string> Read(const std::string& file) MERGANSER_REQUIRES(mutex_);
  void Set(const std::optional<std::string>& text) MERGANSER_REQUIRES(mutex_);

  const std::string address_;
  const std::string given_token_;
  const std::string given_file_;

  mutable Mutex mutex_;
  std::string file_ MERGANSER_GUARDED_BY(mutex_);
  std::optional<FileStamp> stamp_ MERGANSER_GUARDED_BY(mutex_);
  CurrentToken token_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace merganser

#endif  // MERGANSER_PROTO_CHANNEL_TOKEN_SOURCE_H_
