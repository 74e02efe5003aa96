#include "common/storage/file/listing.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/directory.h"
#include "common/base/status.h"
#include "common/storage/file/fd.h"
#include "common/storage/file/partial_name.h"

namespace merganser {
namespace {

constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();

void SortByKey(std::vector<ListedObject>& listed) {
  std::sort(listed.begin(), listed.end(),
            [](const ListedObject& a, const ListedObject& b) { return a.key < b.key; });
}

// Adds the files of the folder `key_folder` ("" or "a/b/") to `listed` and its
// folders to `folders`, as far as their keys can begin with `prefix`; of at most
// `limit` entries.
absl::Status ListOne(const std::string& root, const std::string& key_folder,
                     std::string_view prefix, size_t limit, std::vector<ListedObject>& listed,
                     std::vector<std::string>& folders) {
  const std::string path = root + key_folder;
  Directory folder(path);
  size_t entries = 0;
  while (const char* const entry = folder.Next()) {
    const std::string_view name = entry;
    if (IsPartialName(name)) continue;
    if (++entries > limit) {
      return absl::InvalidArgumentError(absl::StrCat("list ", path, ": found more than ", limit,
                                                     " entries, expected at most as many"));
    }
    std::string key = absl::StrCat(key_folder, std::string(name));
    const size_t common = std::min(key.size(), prefix.size());
    if (std::string_view(key).substr(0, common) != prefix.substr(0, common)) continue;

    struct stat st;
    int rc = ::fstatat(folder.fd(), entry, &st, AT_SYMLINK_NOFOLLOW);
    if (rc == 0 && S_ISDIR(st.st_mode)) {
      folders.push_back(key + "/");
      continue;
    }
    if (rc == 0 && S_ISLNK(st.st_mode)) {
      rc = ::fstatat(folder.fd(), entry, &st, 0);
    }
    if (rc != 0) {
      // Removed in between, or a link that leads nowhere: no object.
      if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) continue;
      return ErrnoStatus(errno, absl::StrCat("stat ", root, key));
    }
    if (!S_ISREG(st.st_mode) || key.size() < prefix.size()) continue;
    listed.push_back({std::move(key), {static_cast<uint64_t>(st.st_size), IdentityOf(st)}});
  }
  const int error = folder.error();
  if (error == 0 || error == ENOENT || error == ENOTDIR) return absl::OkStatus();
  return ErrnoStatus(error, absl::StrCat("list ", path));
}

}  // namespace

absl::StatusOr<std::vector<ListedObject>> ListFiles(const std::string& root,
                                                    std::string_view prefix) {
  std::vector<ListedObject> listed;
  std::vector<std::string> folders;
  // Only what stands below the prefix's folder can match. A prefix that is no
  // beginning of a key (such as "../") matches nothing, and must not be followed.
  const size_t slash = prefix.rfind('/');
  if (slash == std::string_view::npos) {
    folders.emplace_back();
  } else if (ValidateKey(prefix.substr(0, slash)).ok()) {
    folders.emplace_back(prefix.substr(0, slash + 1));
  }
  while (!folders.empty()) {
    const std::string folder = std::move(folders.back());
    folders.pop_back();
    MERGANSER_RETURN_IF_ERROR(ListOne(root, folder, prefix, kNoLimit, listed, folders));
  }
  SortByKey(listed);
  return listed;
}

absl::StatusOr<std::vector<ListedObject>> ListFilesOfFolder(const std::string& root,
                                                            std::string_view folder, size_t limit) {
  if (!folder.empty()) MERGANSER_RETURN_IF_ERROR(ValidateKey(folder));
  std::vector<ListedObject> listed;
  std::vector<std::string> deeper;
  MERGANSER_RETURN_IF_ERROR(ListOne(root,
                                    folder.empty() ? "" : absl::StrCat(std::string(folder), "/"),
                                    "", limit, listed, deeper));
  SortByKey(listed);
  return listed;
}

}  // namespace merganser
