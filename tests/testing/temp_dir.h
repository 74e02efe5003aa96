#ifndef MERGANSER_TESTS_TESTING_TEMP_DIR_H_
#define MERGANSER_TESTS_TESTING_TEMP_DIR_H_

#include <string>
#include <string_view>

namespace merganser {

// A new, empty folder that is removed with all it holds at the end of its life.
// It stands below $TMPDIR, else /tmp. Construction aborts if it cannot be made.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  // Absolute, without a trailing slash.
  const std::string& path() const { return path_; }
  // path() + "/" + name.
  std::string File(std::string_view name) const;

 private:
  std::string path_;
};

}  // namespace merganser

#endif  // MERGANSER_TESTS_TESTING_TEMP_DIR_H_
