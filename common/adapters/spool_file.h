// A file without a name: what it holds is gone with the process, however that ends.
#ifndef MERGANSER_COMMON_ADAPTERS_SPOOL_FILE_H_
#define MERGANSER_COMMON_ADAPTERS_SPOOL_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace merganser {

// Not thread-safe.
class SpoolFile {
 public:
  // In the file system of `folder`, which is there.
  static absl::StatusOr<std::unique_ptr<SpoolFile>> Make(const std::string& folder);
  ~SpoolFile();
  SpoolFile(const SpoolFile&) = delete;
  SpoolFile& operator=(const SpoolFile&) = delete;

  // ErrnoStatus: a full disk is kResourceExhausted.
  absl::Status Append(std::span<const std::byte> bytes);
  // Of what was appended.
  absl::Status Read(uint64_t offset, std::span<std::byte> out) const;
  uint64_t size() const { return size_; }

 private:
  SpoolFile(int fd, std::string folder) : fd_(fd), folder_(std::move(folder)) {}

  const int fd_;
  const std::string folder_;
  uint64_t size_ = 0;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_ADAPTERS_SPOOL_FILE_H_
