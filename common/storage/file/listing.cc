#include "common/storage/file/listing.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/directory.h"
#include "common/base/status.h"
#include "common/storage/file/fd.h"
#include "common/storage/file/partial_name.h"

namespace merganser {
namespace {

// Whether there is room for one entry more; notes it where there is none.
bool HasRoom(Listing& listing, const ListOptions& options) {
  listing.more = listing.objects.size() + listing.folders.size() >= options.limit;
  return !listing.more;
}

// Adds the files of the folder `key_folder` ("" or "a/b/") to `listing`, and its folders to that or
// to `deeper`, as far as their keys can begin with `prefix`.
absl::Status ListOne(const std::string& root, const std::string& key_folder,
                     std::string_view prefix, const ListOptions& options, Listing& listing,
                     std::vector<std::string>& deeper) {
  const std::string path = root + key_folder;
  Directory folder(path);
  while (const char* const entry = folder.Next()) {
    const std::string_view name = entry;
    if (IsPartialName(name)) continue;
    std::string key = absl::StrCat(key_folder, std::string(name));
    const size_t common = std::min(key.size(), prefix.size());
    if (std::string_view(key).substr(0, common) != prefix.substr(0, common)) continue;

    struct stat st;
    int rc = ::fstatat(folder.fd(), entry, &st, AT_SYMLINK_NOFOLLOW);
    if (rc == 0 && S_ISDIR(st.st_mode)) {
      key.push_back('/');
      if (!options.flat) {
        deeper.push_back(std::move(key));
      } else if (key.starts_with(prefix)) {
        if (!HasRoom(listing, options)) return absl::OkStatus();
        listing.folders.push_back(std::move(key));
      }
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
    if (!HasRoom(listing, options)) return absl::OkStatus();
    listing.objects.push_back(
        {std::move(key), {static_cast<uint64_t>(st.st_size), IdentityOf(st)}});
  }
  const int error = folder.error();
  if (error == 0 || error == ENOENT || error == ENOTDIR) return absl::OkStatus();
  return ErrnoStatus(error, absl::StrCat("list ", path));
}

}  // namespace

absl::StatusOr<Listing> ListFiles(const std::string& root, std::string_view prefix,
                                  const ListOptions& options) {
  Listing listing;
  // Only what stands below the prefix's folder can match. A prefix that is no
  // beginning of a key (such as "../") matches nothing, and must not be followed.
  std::vector<std::string> folders;
  const size_t slash = prefix.rfind('/');
  if (slash == std::string_view::npos) {
    folders.emplace_back();
  } else if (ValidateKey(prefix.substr(0, slash)).ok()) {
    folders.emplace_back(prefix.substr(0, slash + 1));
  }
  while (!folders.empty() && !listing.more) {
    const std::string folder = std::move(folders.back());
    folders.pop_back();
    MERGANSER_RETURN_IF_ERROR(ListOne(root, folder, prefix, options, listing, folders));
  }
  std::sort(listing.objects.begin(), listing.objects.end(),
            [](const ListedObject& a, const ListedObject& b) { return a.key < b.key; });
  std::sort(listing.folders.begin(), listing.folders.end());
  return listing;
}

}  // namespace merganser
