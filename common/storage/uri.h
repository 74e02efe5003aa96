// Locations as users write them.
#ifndef MERGANSER_COMMON_STORAGE_URI_H_
#define MERGANSER_COMMON_STORAGE_URI_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace merganser {

// "/models/a", "models/a", "file:///models/a" or "s3://bucket/prefix".
struct Uri {
  std::string scheme;  // "file", "memory", "s3", ...
  std::string path;    // for file: absolute after Absolute(), without a trailing slash

  std::string ToString() const;
};

// A text without "scheme://" is a file path. `file://host/...` with a host
// other than localhost is refused. No percent-decoding of plain paths.
absl::StatusOr<Uri> ParseUri(std::string_view text);

// Makes a relative file path absolute against `directory` and removes "." and
// ".." segments lexically; other schemes are returned as they are.
absl::StatusOr<Uri> Absolute(const Uri& uri, std::string_view directory);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_URI_H_
