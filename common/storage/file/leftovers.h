// What killed processes leave of files and folders, removed.
#ifndef MERGANSER_COMMON_STORAGE_FILE_LEFTOVERS_H_
#define MERGANSER_COMMON_STORAGE_FILE_LEFTOVERS_H_

#include <set>
#include <string>
#include <string_view>

#include "common/base/mutex.h"

namespace merganser {

// Thread-safe.
class TemporarySweep {
 public:
  // Removes what killed calls of Put and PutIfAbsent left behind in the folder of `path`: once,
  // because a folder may hold very many files. A call that still runs writes its file again.
  void Beside(const std::string& path) MERGANSER_EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  std::set<std::string> swept_ MERGANSER_GUARDED_BY(mutex_);  // folders
};

// Removes the folders of `key` below `root`, which ends in '/', that are empty now, from the
// deepest up to and including its topmost hidden one: working folders are nobody's to keep. One
// that is not empty, or that cannot be removed, stays. For a key that lies in the
// topmost hidden folder itself, empty folders beside it go too: a process that was
// killed between a file and its folder leaves such.
void PruneHiddenFolders(const std::string& root, std::string_view key);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_FILE_LEFTOVERS_H_
