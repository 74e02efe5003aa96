#include "common/storage/file/leftovers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/directory.h"
#include "common/storage/file/fd.h"
#include "common/storage/file/partial_name.h"

namespace merganser {
namespace {

// Calls `see` with what is in `folder`, as far as it can be listed: others remove files and
// folders meanwhile.
template <typename See>
void ForEntries(const std::string& folder, const See& see) {
  Directory directory(folder);
  while (const char* const name = directory.Next()) see(directory.fd(), name);
}

// With what killed calls of Put left in it. Of a full folder no more than its first name is read.
bool RemoveEmptyFolder(const std::string& folder) {
  if (::rmdir(folder.c_str()) == 0) return true;
  Directory entries(folder);
  std::vector<std::string> left;
  while (const char* name = entries.Next()) {
    if (!IsTemporaryName(name)) return false;
    left.emplace_back(name);
  }
  if (left.empty()) return false;
  for (const std::string& name : left) ::unlinkat(entries.fd(), name.c_str(), 0);
  return ::rmdir(folder.c_str()) == 0;
}

// Of all below `folder`, deepest first, with what killed calls of Put left in them.
// rmdir leaves what holds anything else.
void RemoveEmptyFolders(const std::string& top) {
  std::vector<std::string> folders = {top};
  for (size_t i = 0; i < folders.size(); ++i) {
    ForEntries(folders[i], [&](int fd, const char* name) {
      struct stat st;
      if (::fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) return;
      if (S_ISDIR(st.st_mode)) {
        folders.push_back(absl::StrCat(folders[i], "/", name));
      } else if (IsTemporaryName(name)) {
        ::unlinkat(fd, name, 0);
      }
    });
  }
  for (size_t i = folders.size() - 1; i > 0; --i) ::rmdir(folders[i].c_str());
}

}  // namespace

void TemporarySweep::Beside(const std::string& path) {
  constexpr size_t kRemembered = 1000;
  const std::string folder = ParentOf(path);
  {
    MutexLock lock(mutex_);
    if (swept_.size() >= kRemembered) swept_.clear();
    if (!swept_.insert(folder).second) return;
  }
  ForEntries(folder, [](int fd, const char* name) {
    if (IsTemporaryName(name)) ::unlinkat(fd, name, 0);
  });
}

void PruneHiddenFolders(const std::string& root, std::string_view key) {
  const size_t hidden = key.starts_with('.') ? 0 : key.find("/.");
  if (hidden == std::string_view::npos) return;
  const size_t begin = hidden == 0 ? 0 : hidden + 1;
  const size_t top = key.find('/', begin);
  if (top == std::string_view::npos) return;
  if (key.rfind('/') == top) RemoveEmptyFolders(root + std::string(key.substr(0, top)));
  for (size_t end = key.rfind('/'); end != std::string_view::npos && end > begin;
       end = key.rfind('/', end - 1)) {
    if (!RemoveEmptyFolder(root + std::string(key.substr(0, end)))) return;
    if (end == 0) return;
  }
}

}  // namespace merganser
