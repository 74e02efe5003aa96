#ifndef MERGANSER_COMMON_STORAGE_FILE_FD_CACHE_H_
#define MERGANSER_COMMON_STORAGE_FILE_FD_CACHE_H_

#include <cstddef>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "common/base/mutex.h"
#include "common/storage/file/fd.h"

namespace merganser {

// Open descriptors by path, the least recently used closed first. The cache
// does not know whether the path still leads to the descriptor's file: the
// caller checks. A descriptor with unflushed writes is never closed by the cache
// (some file systems report a failed write only there, where nobody would hear
// it), so it may hold more than `capacity` of those. Thread-safe.
class FdCache {
 public:
  enum class Use { kRead, kWrite };  // kWrite marks the descriptor as unflushed

  explicit FdCache(size_t capacity) : capacity_(capacity) {}

  // Null if there is none.
  std::shared_ptr<Fd> Get(const std::string& path, Use use);
  // Keeps and returns `fd`, or the one that another thread put there before.
  std::shared_ptr<Fd> Insert(const std::string& path, std::shared_ptr<Fd> fd, Use use);
  // Forgets the path's descriptor: false if there is none. The second form only if it is
  // still `fd`.
  bool Erase(const std::string& path);
  void EraseIf(const std::string& path, const std::shared_ptr<Fd>& fd);
  // The path's descriptor, if what was written through it since the last flush may be lost with it.
  std::shared_ptr<Fd> GetUnflushed(const std::string& path);
  // To be called before the flush: writes that come during it mark it again.
  void MarkFlushed(const std::shared_ptr<Fd>& fd);

 private:
  using Entry = std::pair<std::string, std::shared_ptr<Fd>>;
  void Trim(std::list<Entry>& dropped) MERGANSER_REQUIRES(mutex_);

  const size_t capacity_;
  Mutex mutex_;
  std::list<Entry> entries_ MERGANSER_GUARDED_BY(mutex_);  // the newest use first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_path_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_FILE_FD_CACHE_H_
