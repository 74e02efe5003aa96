// Locations as users write them.
#ifndef MERGANSER_COMMON_STORAGE_URI_H_
#define MERGANSER_COMMON_STORAGE_URI_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace merganser {

// "/models/a", "models/a", "file:///models/a", "s3://bucket/prefix", "https://host/path" or
// "hf://org/name".
struct Uri {
  std::string scheme;  // "file", "memory", "s3", ...
  std::string path;    // for file: absolute after Absolute(), without a trailing slash

  std::string ToString() const;
};

// A text without "scheme://" is a file path. `file://host/...` with a host
// other than localhost is refused. No percent-decoding of plain paths. Hosts of http and https are
// written in lower case and without the scheme's own port. What CheckNoSecrets refuses is.
absl::StatusOr<Uri> ParseUri(std::string_view text);

// kInvalidArgument, which shows nothing of `text`, for a location with a user part
// ("https://user:password@host") or a query (that of a signed URL is a credential): locations are
// put on record and shown.
absl::Status CheckNoSecrets(std::string_view text);

// Makes a relative file path absolute against `directory` and removes "." and
// ".." segments lexically; other schemes are returned as they are.
absl::StatusOr<Uri> Absolute(const Uri& uri, std::string_view directory);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_URI_H_
