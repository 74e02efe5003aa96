#include "common/base/private_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace merganser {
namespace {

constexpr mode_t kGroupAndOthers = 077;
constexpr mode_t kRights = 07777;
constexpr int64_t kNanosPerSecond = 1'000'000'000;

// Closes at the end of its life.
struct Descriptor {
  explicit Descriptor(int n) : number(n) {}
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  const int number;
};

FileStamp StampFrom(const struct stat& st) {
  const auto nanos = [](const timespec& t) { return t.tv_sec * kNanosPerSecond + t.tv_nsec; };
  return {static_cast<uint64_t>(st.st_dev), static_cast<uint64_t>(st.st_ino),
          static_cast<uint64_t>(st.st_size), nanos(st.st_mtim), nanos(st.st_ctim)};
}

std::string Octal(mode_t mode) {
  char text[16];
  std::snprintf(text, sizeof(text), "%04o", static_cast<unsigned>(mode & kRights));
  return text;
}

absl::Status CheckRights(const std::string& path, const struct stat& st) {
  const uid_t self = ::geteuid();
  if (!S_ISREG(st.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(OneLine(path), ": found no regular file, expected one that holds a secret"));
  }
  if (st.st_uid != self && st.st_uid != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(OneLine(path), ": found it owned by user ", st.st_uid, ", expected ", self,
                     " (this process) or root: another user's secrets are not used"));
  }
  // Whoever mounts a secret for a group of one service does so as root.
  const bool mounted = st.st_uid == 0 && self != 0;
  const mode_t open = mounted ? mode_t{037} : kGroupAndOthers;
  if ((st.st_mode & open) != 0) {
    return absl::PermissionDeniedError(absl::StrCat(
        OneLine(path), ": found mode ", Octal(st.st_mode),
        ", expected a secret that its owner alone can read; run: chmod 600 ", OneLine(path)));
  }
  return absl::OkStatus();
}

absl::Status WriteWhole(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t put = ::write(fd, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return ErrnoStatus(errno, absl::StrCat("write ", OneLine(path)));
    text.remove_prefix(static_cast<size_t>(put));
  }
  return absl::OkStatus();
}

}  // namespace

std::optional<FileStamp> StampOf(const std::string& path) {
  struct stat st;
  if (::stat(path.c_str(), &st) != 0) return std::nullopt;
  return StampFrom(st);
}

absl::StatusOr<PrivateFile> ReadPrivateFile(const std::string& path, size_t max_bytes) {
  // A pipe in the file's place must not make us wait.
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (fd.number < 0) return ErrnoStatus(errno, absl::StrCat("open ", OneLine(path)));
  struct stat st;
  if (::fstat(fd.number, &st) != 0) return ErrnoStatus(errno, absl::StrCat("stat ", OneLine(path)));
  MERGANSER_RETURN_IF_ERROR(CheckRights(path, st));
  PrivateFile file;
  file.stamp = StampFrom(st);
  file.text.resize(max_bytes + 1);
  size_t filled = 0;
  while (filled < file.text.size()) {
    const ssize_t got = ::read(fd.number, file.text.data() + filled, file.text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, absl::StrCat("read ", OneLine(path)));
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  if (filled > max_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(OneLine(path), ": found more than ", max_bytes,
                                                   " bytes, expected a small file of secrets"));
  }
  file.text.resize(filled);
  return file;
}

absl::StatusOr<FileStamp> WritePrivateFile(const std::string& path, std::string_view text) {
  const std::string temporary = absl::StrCat(path, ".", ::getpid(), ".new");
  ::unlink(temporary.c_str());
  const Descriptor fd(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (fd.number < 0) return ErrnoStatus(errno, absl::StrCat("create ", OneLine(temporary)));
  absl::Status status;
  // The mode of open is cut by the umask; this one is not.
  if (::fchmod(fd.number, 0600) != 0) {
    status = ErrnoStatus(errno, absl::StrCat("chmod ", OneLine(temporary)));
  }
  if (status.ok()) status = WriteWhole(fd.number, text, temporary);
  if (status.ok() && ::rename(temporary.c_str(), path.c_str()) != 0) {
    status = ErrnoStatus(errno, absl::StrCat("rename ", OneLine(temporary), " to ", OneLine(path)));
  }
  struct stat st;
  if (status.ok() && ::fstat(fd.number, &st) != 0) {
    status = ErrnoStatus(errno, absl::StrCat("stat ", OneLine(path)));
  }
  if (!status.ok()) {
    ::unlink(temporary.c_str());
    return status;
  }
  return StampFrom(st);
}

absl::StatusOr<std::string> RuntimeFolder(bool create) {
  const uid_t self = ::geteuid();
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  // A relative one is to be ignored, says the specification.
  const bool given = runtime != nullptr && runtime[0] == '/';
  std::string folder =
      given ? absl::StrCat(runtime, "/merganser") : absl::StrCat("/tmp/merganser-", self);
  if (create && ::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, absl::StrCat("create ", OneLine(folder)));
  }
  struct stat st;
  // Not through a link: anybody may make one in /tmp.
  if (::lstat(folder.c_str(), &st) != 0) {
    return ErrnoStatus(errno, absl::StrCat("look at ", OneLine(folder)));
  }
  if (!S_ISDIR(st.st_mode) || st.st_uid != self || (st.st_mode & kGroupAndOthers) != 0) {
    return absl::PermissionDeniedError(absl::StrCat(
        OneLine(folder), ": found ", S_ISDIR(st.st_mode) ? "a folder" : "no folder", " of user ",
        st.st_uid, " with mode ", Octal(st.st_mode), ", expected a folder of user ", self,
        " with mode 0700; remove it, or set XDG_RUNTIME_DIR to a folder of your own"));
  }
  return folder;
}

}  // namespace merganser
