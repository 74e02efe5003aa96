// What git leaves in the place of a file that git-lfs did not fetch.
#ifndef MERGANSER_COMMON_CHECKPOINT_GIT_LFS_H_
#define MERGANSER_COMMON_CHECKPOINT_GIT_LFS_H_

#include <cstdint>
#include <string_view>

namespace merganser {

// Pointers have at least and at most so many bytes, extensions aside.
inline constexpr uint64_t kLeastGitLfsPointer = 100, kMostGitLfsPointer = 200;

// Whether a file that begins with `text` is such a pointer.
inline bool IsGitLfsPointer(std::string_view text) {
  return text.starts_with("version https://git-lfs.github.com/spec/");
}

// What it is and what to do, for the end of a message that begins with the file's name.
inline constexpr char kGitLfsAdvice[] =
    "is a pointer of git-lfs, not the file itself: fetch the files with 'git lfs pull' in that "
    "folder, or download the model anew (huggingface-cli download)";

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_GIT_LFS_H_
