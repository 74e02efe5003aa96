// The names in a folder, read without std::filesystem: the iterators of libstdc++ allocate in
// functions that are noexcept, so that a process short of memory would end in them.
#ifndef MERGANSER_COMMON_BASE_DIRECTORY_H_
#define MERGANSER_COMMON_BASE_DIRECTORY_H_

#include <dirent.h>

#include <string>

namespace merganser {

// An open folder. Not thread-safe.
class Directory {
 public:
  explicit Directory(const std::string& path);
  ~Directory();
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  // The next name but "." and "..", valid until the next call; null at the end, or when
  // error() says why there is none.
  const char* Next();
  // The errno of the call that failed, the constructor's among them; 0 if none did.
  int error() const { return error_; }
  // Of the open folder; precondition: Next() returned a name.
  int fd() const { return ::dirfd(handle_); }

 private:
  DIR* const handle_;
  int error_ = 0;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_DIRECTORY_H_
