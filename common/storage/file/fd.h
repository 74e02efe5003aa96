// The system calls of the file store: each retries EINTR, finishes short
// transfers, and turns errno into a Status that names call and path.
#ifndef MERGANSER_COMMON_STORAGE_FILE_FD_H_
#define MERGANSER_COMMON_STORAGE_FILE_FD_H_

#include <sys/stat.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"

namespace merganser {

// Owns a descriptor. Immutable but for `unflushed`, which FdCache guards, the turn to
// write, and what is noted of a flush. What close() says nobody hears: whatever must
// be durable was flushed before.
class Fd {
 public:
  explicit Fd(int number) : number_(number) {}
  ~Fd();
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return number_; }
  // The kernel takes one write into a file after the other, and lets the rest spin
  // on a processor that others could use: wait for this first.
  Mutex& turn_to_write() const { return turn_to_write_; }
  // A flush failed: what is written through the descriptor from then on is not to be
  // relied on, as the next flush goes through another. Thread-safe.
  void NoteFailedFlush() { flush_failed_ = true; }
  bool flush_failed() const { return flush_failed_; }

 private:
  friend class FdCache;
  const int number_;
  bool unflushed_ = false;
  std::atomic<bool> flush_failed_ = false;
  mutable Mutex turn_to_write_;
};

// `flags` as for open(2); O_CLOEXEC is added.
absl::StatusOr<std::shared_ptr<Fd>> OpenFile(const std::string& path, int flags);

// Where an open file lies now, by /proc; `path` is for messages.
absl::StatusOr<std::string> PlaceOf(const Fd& fd, const std::string& path);

// nullopt where nothing is, or where a part of the path is no folder.
absl::StatusOr<std::optional<struct stat>> StatPath(const std::string& path);
absl::StatusOr<struct stat> StatFd(const Fd& fd, const std::string& path);

// Whether both describe one file, whatever its content.
bool SameFile(const struct stat& a, const struct stat& b);
// Size, modification time in nanoseconds and inode.
std::string IdentityOf(const struct stat& st);

// Returns how many bytes were read: fewer than `out` holds only at the end of
// the file.
absl::StatusOr<size_t> ReadAt(const Fd& fd, uint64_t offset, std::span<std::byte> out,
                              const std::string& path);
absl::Status WriteAt(const Fd& fd, uint64_t offset, std::span<const std::byte> bytes,
                     const std::string& path);
// Asks the kernel to start writing the range back; a hint without an answer.
void StartWriteBack(const Fd& fd, uint64_t offset, uint64_t size);

// Gives the new, empty file its full size and reserves the space where the file
// system can. kResourceExhausted says what was needed and what is free.
absl::Status ReserveSpace(const Fd& fd, uint64_t size, const std::string& path);

absl::Status SyncFile(const Fd& fd, const std::string& path);      // fsync
absl::Status SyncFileData(const Fd& fd, const std::string& path);  // fdatasync
absl::Status SyncFolder(const std::string& folder);

// Creates `folder` and its missing parents, durably.
absl::Status MakeFolders(const std::string& folder);

// The folder of an absolute path ("/" for "/a").
std::string ParentOf(const std::string& path);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_FILE_FD_H_
