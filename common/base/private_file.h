// Small files that hold secrets: read only where nobody else can read them.
#ifndef MERGANSER_COMMON_BASE_PRIVATE_FILE_H_
#define MERGANSER_COMMON_BASE_PRIVATE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace merganser {

// Changes whenever a file was written, replaced, or given other rights.
struct FileStamp {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  int64_t modified_ns = 0;
  int64_t changed_ns = 0;

  bool operator==(const FileStamp&) const = default;
};

// Of the file that `path` leads to; nullopt where there is none or it cannot be
// looked at.
std::optional<FileStamp> StampOf(const std::string& path);

struct PrivateFile {
  std::string text;
  FileStamp stamp;  // of what was read
};

// Reads a regular file of this user or of root, whole. kNotFound where there is
// none. kPermissionDenied where group or others may read or write it; the message
// gives the chmod that mends it. Root's file that this process can read through
// its group alone is fine (a mounted Kubernetes secret). More than `max_bytes`
// are kInvalidArgument. No message quotes what the file holds.
absl::StatusOr<PrivateFile> ReadPrivateFile(const std::string& path, size_t max_bytes);

// Replaces the file atomically by one with mode 0600. Returns its stamp.
absl::StatusOr<FileStamp> WritePrivateFile(const std::string& path, std::string_view text);

// $XDG_RUNTIME_DIR/merganser, or /tmp/merganser-UID where that is not set: this
// user's folder for what lives no longer than a process. With `create` it is made
// (0700) if need be, else a missing one is kNotFound. kPermissionDenied where it
// is not a folder of this user that nobody else can enter.
absl::StatusOr<std::string> RuntimeFolder(bool create);

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_PRIVATE_FILE_H_
