#include "coordinator/journal/state_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/host.h"
#include "common/base/status.h"

namespace merganser {
namespace {

struct Magic {
  uint32_t f_type;
  std::string_view name;
};

// linux/magic.h and the file systems' own sources.
constexpr std::array<Magic, 18> kNetworkFileSystems = {{
    {0x6969, "NFS"},
    {0x517B, "SMB"},
    {0xFF534D42, "CIFS"},
    {0xFE534D42, "SMB2"},
    {0x0BD00BD0, "Lustre"},
    {0x47504653, "GPFS"},
    {0x65735546, "FUSE"},
    {0x5346414F, "AFS"},
    {0x6B414653, "AFS"},
    {0x00C36400, "Ceph"},
    {0x01021997, "9P"},
    {0x19830326, "BeeGFS"},
    {0xAAD7AAEA, "PanFS"},
    {0x7461636F, "OCFS2"},
    {0x01161970, "GFS2"},
    {0x73757245, "Coda"},
    {0x564C, "NCP"},
    {0x786F4256, "VirtualBox shared folder"},
}};

std::string HolderFile(const std::string& directory) { return directory + "/holder"; }

}  // namespace

std::string_view NetworkFileSystemName(uint64_t f_type) {
  for (const Magic& magic : kNetworkFileSystems) {
    // f_type is signed on some systems: only its 32 bits count.
    if (magic.f_type == static_cast<uint32_t>(f_type)) return magic.name;
  }
  return "";
}

absl::Status PrepareStateDirectory(const std::string& directory) {
  const std::string what = absl::StrCat("--state ", OneLine(directory));
  if (directory.empty()) return absl::InvalidArgumentError("--state: expected a folder");
  const std::filesystem::path path(directory);
  std::error_code error;
  const std::filesystem::path parent =
      path.has_filename() ? path.parent_path() : path.parent_path().parent_path();
  if (!parent.empty()) std::filesystem::create_directories(parent, error);
  if (error) return ErrnoStatus(error.value(), absl::StrCat(what, ": mkdir of its parent"));
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, absl::StrCat(what, ": mkdir"));
  }
  if (!std::filesystem::is_directory(path, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": found something else, expected a folder"));
  }
  struct statfs system = {};
  if (::statfs(directory.c_str(), &system) != 0) {
    return ErrnoStatus(errno, absl::StrCat(what, ": statfs"));
  }
  const std::string_view network = NetworkFileSystemName(static_cast<uint64_t>(system.f_type));
  if (!network.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        what, ": found a network or user-space file system (", std::string(network),
        "), expected a disk of this machine: locks and syncs of the others cannot be relied on, "
        "and two coordinators would write one journal"));
  }
  return absl::OkStatus();
}

absl::Status WriteHolder(const std::string& directory) {
  const std::string text = absl::StrCat("pid ", ::getpid(), " on host ", OneLine(HostName()),
                                        ", since ", FormatWallTime(SystemClock().WallNow()), "\n");
  const std::string file = HolderFile(directory);
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("open ", file));
  const ssize_t wrote = ::write(fd, text.data(), text.size());
  const int error_number = errno;
  ::close(fd);
  if (wrote == static_cast<ssize_t>(text.size())) return absl::OkStatus();
  return ErrnoStatus(wrote < 0 ? error_number : ENOSPC, absl::StrCat("write ", file));
}

std::string HolderOf(const std::string& directory) {
  std::ifstream file(HolderFile(directory));
  std::string line;
  if (!std::getline(file, line) || !line.starts_with("pid ")) return "another process";
  return OneLine(line.substr(0, 512));
}

}  // namespace merganser
