#include "common/base/directory.h"

#include <cerrno>
#include <string_view>

namespace merganser {

Directory::Directory(const std::string& path) : handle_(::opendir(path.c_str())) {
  if (handle_ == nullptr) error_ = errno;
}

Directory::~Directory() {
  if (handle_ != nullptr) ::closedir(handle_);
}

const char* Directory::Next() {
  while (error_ == 0) {
    errno = 0;
    const dirent* const entry = ::readdir(handle_);
    if (entry == nullptr) {
      error_ = errno;
      return nullptr;
    }
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") return entry->d_name;
  }
  return nullptr;
}

}  // namespace merganser
