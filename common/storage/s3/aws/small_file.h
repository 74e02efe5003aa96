// Files of settings and tokens.
#ifndef MERGANSER_COMMON_STORAGE_S3_AWS_SMALL_FILE_H_
#define MERGANSER_COMMON_STORAGE_S3_AWS_SMALL_FILE_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace merganser::s3 {

// All of a regular file of at most a megabyte; nullopt where there is none, or /dev/null. No
// message quotes what it holds.
absl::StatusOr<std::optional<std::string>> ReadSmallFile(const std::string& path);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_AWS_SMALL_FILE_H_
