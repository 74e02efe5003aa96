#include "common/adapters/new_folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/random_id.h"
#include "common/base/shown.h"
#include "common/base/status.h"

namespace merganser {
namespace {

constexpr int kTries = 8;

absl::Status Failed(int error, std::string_view action, const std::string& path) {
  return ErrnoStatus(error, absl::StrCat(std::string(action), " ", OneLine(path)));
}

absl::Status IsThere(const std::string& path) {
  return absl::AlreadyExistsError(
      absl::StrCat(Shown(path), ": something is there already; name a folder that is not"));
}

absl::Status SyncFolder(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Failed(errno, "open", path);
  const int error = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  return error == 0 ? absl::OkStatus() : Failed(error, "sync", path);
}

std::string ParentOf(const std::string& path) {
  return std::filesystem::path(path).parent_path().string();
}

}  // namespace

absl::Status CheckNothingAt(const std::string& path) {
  struct stat found = {};
  if (::lstat(path.c_str(), &found) == 0) return IsThere(path);
  return errno == ENOENT ? absl::OkStatus() : Failed(errno, "look at", path);
}

std::string FolderAbove(const std::string& path) {
  std::string folder = ParentOf(path);
  struct stat found = {};
  while (folder != "/" && ::stat(folder.c_str(), &found) != 0) folder = ParentOf(folder);
  return folder;
}

NewFolder::NewFolder(std::string path, std::string hidden, std::shared_ptr<ObjectStore> store)
    : path_(std::move(path)), hidden_(std::move(hidden)), store_(std::move(store)) {}

absl::StatusOr<std::unique_ptr<NewFolder>> NewFolder::Begin(const std::string& path,
                                                            const Stores& stores) {
  MERGANSER_RETURN_IF_ERROR(CheckNothingAt(path));
  const std::filesystem::path name(path);
  std::error_code error;
  std::filesystem::create_directories(name.parent_path(), error);
  if (error) return Failed(error.value(), "make", ParentOf(path));
  for (int i = 0; i < kTries; ++i) {
    const std::string hidden = (name.parent_path() / absl::StrCat(".", name.filename().string(),
                                                                  ".", RandomHex(8), ".partial"))
                                   .string();
    // Not mkdtemp: the folder is to have the rights that the user gives new ones.
    if (::mkdir(hidden.c_str(), 0777) != 0) {
      if (errno == EEXIST) continue;
      return Failed(errno, "make", hidden);
    }
    absl::StatusOr<std::shared_ptr<ObjectStore>> store = stores.Open(hidden);
    if (!store.ok()) {
      ::rmdir(hidden.c_str());
      return store.status();
    }
    return std::unique_ptr<NewFolder>(new NewFolder(path, hidden, *std::move(store)));
  }
  return absl::InternalError(absl::StrCat("no name is free for a folder beside ", Shown(path)));
}

NewFolder::~NewFolder() {
  if (committed_) return;
  std::error_code ignored;
  std::filesystem::remove_all(hidden_, ignored);
}

absl::Status NewFolder::Commit() {
  MERGANSER_RETURN_IF_ERROR(SyncFolder(hidden_));
  int done = ::renameat2(AT_FDCWD, hidden_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE);
  if (done != 0 && (errno == EINVAL || errno == ENOSYS)) {
    // The file system does not know the flag. A folder that holds something is not replaced.
    MERGANSER_RETURN_IF_ERROR(CheckNothingAt(path_));
    done = ::rename(hidden_.c_str(), path_.c_str());
  }
  if (done != 0) {
    return errno == EEXIST || errno == ENOTEMPTY ? IsThere(path_)
                                                 : Failed(errno, "rename a folder to", path_);
  }
  committed_ = true;
  return SyncFolder(ParentOf(path_));
}

}  // namespace merganser
