// Addresses of HTTP, split and joined as the client that connects to them does.
#ifndef MERGANSER_COMMON_STORAGE_HTTP_URL_H_
#define MERGANSER_COMMON_STORAGE_HTTP_URL_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace merganser {

struct HttpUrl {
  std::string scheme;  // "http" or "https"
  std::string host;    // in lower case; of version 6 in brackets
  uint16_t port = 0;   // the scheme's own where none is given
  std::string target;  // path and query, encoded, beginning with '/'

  std::string ToString() const;
  // "https://host", with a port that is not the scheme's: what a credential is for, and what a
  // message may show.
  std::string Origin() const;
};

// Of http and https, without a user part; a fragment is dropped. kInvalidArgument, whose message
// does not show `text`: a query may hold a signature, and a user part a password.
absl::StatusOr<HttpUrl> ParseHttpUrl(std::string_view text);

// Where `location`, absolute or relative, of an answer to `base` leads. As above.
absl::StatusOr<HttpUrl> ResolveLocation(const HttpUrl& base, std::string_view location);

// `text`, a path that is not encoded, with all but A-Z a-z 0-9 - . _ ~ / as %XX.
std::string EncodePath(std::string_view text);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_HTTP_URL_H_
