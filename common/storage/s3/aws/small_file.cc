#include "common/storage/s3/aws/small_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"

namespace merganser::s3 {

absl::StatusOr<std::optional<std::string>> ReadSmallFile(const std::string& path) {
  constexpr size_t kMost = size_t{1} << 20;
  // A pipe in the file's place must not make us wait.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("open ", Shown(path)));
  const absl::Cleanup close = [fd] { ::close(fd); };
  struct stat st;
  if (::fstat(fd, &st) != 0) return ErrnoStatus(errno, absl::StrCat("stat ", Shown(path)));
  if (S_ISCHR(st.st_mode)) return std::nullopt;  // /dev/null stands for no file
  if (!S_ISREG(st.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(Shown(path), ": found no regular file, expected one"));
  }
  std::string text;
  char room[4096];
  while (text.size() <= kMost) {
    const ssize_t got = ::read(fd, room, sizeof(room));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, absl::StrCat("read ", Shown(path)));
    if (got == 0) return text;
    text.append(room, static_cast<size_t>(got));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(Shown(path), ": found more than ", kMost, " bytes, expected a small file"));
}

}  // namespace merganser::s3
