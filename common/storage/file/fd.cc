#include "common/storage/file/fd.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"

namespace merganser {
namespace {

constexpr size_t kMaxTransfer = size_t{16} << 20;

absl::Status Failed(int error_number, std::string_view call, const std::string& path) {
  return ErrnoStatus(error_number, absl::StrCat(std::string(call), " ", path));
}

absl::Status NoSpace(int error_number, const Fd& fd, uint64_t size, const std::string& path) {
  struct statvfs fs;
  const std::string room =
      ::fstatvfs(fd.get(), &fs) == 0
          ? absl::StrCat(static_cast<uint64_t>(fs.f_bavail) * fs.f_frsize, " bytes are free")
          : "how many are free is unknown";
  absl::Status status = Annotate(Failed(error_number, "reserve space for", path),
                                 absl::StrCat(size, " bytes are needed and ", room));
  struct rlimit limit;
  if (error_number != EFBIG || ::getrlimit(RLIMIT_FSIZE, &limit) != 0 ||
      limit.rlim_cur == RLIM_INFINITY) {
    return status;
  }
  return absl::Status(status.code(),
                      absl::StrCat(status.message(), "; this process may write files of at most ",
                                   limit.rlim_cur, " bytes (ulimit -f)"));
}

}  // namespace

Fd::~Fd() { ::close(number_); }

absl::StatusOr<std::shared_ptr<Fd>> OpenFile(const std::string& path, int flags) {
  int number;
  do {
    number = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  } while (number < 0 && errno == EINTR);
  if (number < 0) return Failed(errno, "open", path);
  return std::make_shared<Fd>(number);
}

absl::StatusOr<std::string> PlaceOf(const Fd& fd, const std::string& path) {
  std::array<char, 4096> place{};
  const ssize_t size =
      ::readlink(absl::StrCat("/proc/self/fd/", fd.get()).c_str(), place.data(), place.size());
  if (size < 0) return Failed(errno, "ask /proc for the place of", path);
  if (static_cast<size_t>(size) == place.size()) return Failed(ENAMETOOLONG, "place of", path);
  return std::string(place.data(), static_cast<size_t>(size));
}

absl::StatusOr<std::optional<struct stat>> StatPath(const std::string& path) {
  struct stat st;
  if (::stat(path.c_str(), &st) == 0) return std::optional<struct stat>(st);
  if (errno == ENOENT || errno == ENOTDIR) return std::optional<struct stat>();
  return Failed(errno, "stat", path);
}

absl::StatusOr<struct stat> StatFd(const Fd& fd, const std::string& path) {
  struct stat st;
  if (::fstat(fd.get(), &st) == 0) return st;
  return Failed(errno, "stat", path);
}

bool SameFile(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

std::string IdentityOf(const struct stat& st) {
  const int64_t nanoseconds =
      static_cast<int64_t>(st.st_mtim.tv_sec) * 1'000'000'000 + st.st_mtim.tv_nsec;
  return absl::StrCat(static_cast<uint64_t>(st.st_size), "-", nanoseconds, "-",
                      static_cast<uint64_t>(st.st_ino));
}

absl::StatusOr<size_t> ReadAt(const Fd& fd, uint64_t offset, std::span<std::byte> out,
                              const std::string& path) {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t got =
        ::pread(fd.get(), out.data() + done, std::min(out.size() - done, kMaxTransfer),
                static_cast<off_t>(offset + done));
    if (got == 0) break;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Failed(errno, "read", path);
    done += static_cast<size_t>(got);
  }
  return done;
}

absl::Status WriteAt(const Fd& fd, uint64_t offset, std::span<const std::byte> bytes,
                     const std::string& path) {
  MutexLock lock(fd.turn_to_write());
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t put =
        ::pwrite(fd.get(), bytes.data() + done, std::min(bytes.size() - done, kMaxTransfer),
                 static_cast<off_t>(offset + done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return Failed(errno, "write", path);
    done += static_cast<size_t>(put);
  }
  return absl::OkStatus();
}

void StartWriteBack([[maybe_unused]] const Fd& fd, [[maybe_unused]] uint64_t offset,
                    [[maybe_unused]] uint64_t size) {
#ifdef __linux__
  // Without a WAIT flag it consumes no write-back error: fsync still reports it.
  if (size > 0) {
    ::sync_file_range(fd.get(), static_cast<off_t>(offset), static_cast<off_t>(size),
                      SYNC_FILE_RANGE_WRITE);
  }
#endif
}

absl::Status ReserveSpace(const Fd& fd, uint64_t size, const std::string& path) {
  if (size == 0) return absl::OkStatus();
  if (size > static_cast<uint64_t>(std::numeric_limits<off_t>::max())) {
    return NoSpace(EFBIG, fd, size, path);
  }
  const auto length = static_cast<off_t>(size);
  int error_number;
  do {
#ifdef __linux__
    // Not posix_fallocate: where the file system cannot, glibc writes a byte
    // into every block instead, which on a network file system takes hours.
    error_number = ::fallocate(fd.get(), 0, 0, length) == 0 ? 0 : errno;
#else
    error_number = ::posix_fallocate(fd.get(), 0, length);
#endif
  } while (error_number == EINTR);
  if (error_number == EOPNOTSUPP || error_number == EINVAL || error_number == ENOSYS) {
    do {
      error_number = ::ftruncate(fd.get(), length) == 0 ? 0 : errno;
    } while (error_number == EINTR);
  }
  if (error_number == 0) return absl::OkStatus();
  return NoSpace(error_number, fd, size, path);
}

absl::Status SyncFile(const Fd& fd, const std::string& path) {
  while (::fsync(fd.get()) != 0) {
    if (errno != EINTR) return Failed(errno, "fsync", path);
  }
  return absl::OkStatus();
}

absl::Status SyncFileData(const Fd& fd, const std::string& path) {
  while (::fdatasync(fd.get()) != 0) {
    if (errno != EINTR) return Failed(errno, "fdatasync", path);
  }
  return absl::OkStatus();
}

absl::Status SyncFolder(const std::string& folder) {
  MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<Fd> fd,
                             OpenFile(folder, O_RDONLY | O_DIRECTORY));
  while (::fsync(fd->get()) != 0) {
    // Some network file systems make names durable at once and have no fsync
    // for folders.
    if (errno == EINVAL || errno == EOPNOTSUPP) break;
    if (errno != EINTR) return Failed(errno, "fsync", folder);
  }
  return absl::OkStatus();
}

absl::Status MakeFolders(const std::string& folder) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<struct stat> st, StatPath(folder));
  if (st && S_ISDIR(st->st_mode)) return absl::OkStatus();
  if (st) {
    return absl::FailedPreconditionError(
        absl::StrCat(Shown(folder), ": is a file; expected a folder or nothing"));
  }
  const std::string parent = ParentOf(folder);
  if (parent != folder) MERGANSER_RETURN_IF_ERROR(MakeFolders(parent));
  if (::mkdir(folder.c_str(), 0777) != 0 && errno != EEXIST) {
    return Failed(errno, "mkdir", folder);
  }
  // Also where another process made it first: that one may not have synced yet.
  return SyncFolder(parent);
}

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace merganser
