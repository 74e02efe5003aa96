#include "common/storage/file/fd_cache.h"

namespace merganser {

std::shared_ptr<Fd> FdCache::Get(const std::string& path, Use use) {
  MutexLock lock(mutex_);
  const auto it = by_path_.find(path);
  if (it == by_path_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, it->second);
  if (use == Use::kWrite) it->second->second->unflushed_ = true;
  return it->second->second;
}

std::shared_ptr<Fd> FdCache::Insert(const std::string& path, std::shared_ptr<Fd> fd, Use use) {
  std::list<Entry> dropped;  // closed after the lock is released
  MutexLock lock(mutex_);
  if (const auto it = by_path_.find(path); it != by_path_.end()) {
    fd = it->second->second;
  } else {
    entries_.emplace_front(path, fd);
    by_path_[path] = entries_.begin();
  }
  if (use == Use::kWrite) fd->unflushed_ = true;
  Trim(dropped);
  return fd;
}

void FdCache::Trim(std::list<Entry>& dropped) {
  // The newest entry is in use and stays.
  for (auto it = entries_.end(); entries_.size() > capacity_ && it != entries_.begin();) {
    --it;
    if (it == entries_.begin() || it->second->unflushed_) continue;
    by_path_.erase(it->first);
    const auto victim = it++;
    dropped.splice(dropped.end(), entries_, victim);
  }
}

bool FdCache::Erase(const std::string& path) {
  std::list<Entry> dropped;
  MutexLock lock(mutex_);
  const auto it = by_path_.find(path);
  if (it == by_path_.end()) return false;
  dropped.splice(dropped.end(), entries_, it->second);
  by_path_.erase(it);
  return true;
}

void FdCache::EraseIf(const std::string& path, const std::shared_ptr<Fd>& fd) {
  std::list<Entry> dropped;
  MutexLock lock(mutex_);
  const auto it = by_path_.find(path);
  if (it == by_path_.end() || it->second->second != fd) return;
  dropped.splice(dropped.end(), entries_, it->second);
  by_path_.erase(it);
}

std::shared_ptr<Fd> FdCache::GetUnflushed(const std::string& path) {
  MutexLock lock(mutex_);
  const auto it = by_path_.find(path);
  return it != by_path_.end() && it->second->second->unflushed_ ? it->second->second : nullptr;
}

void FdCache::MarkFlushed(const std::shared_ptr<Fd>& fd) {
  MutexLock lock(mutex_);
  fd->unflushed_ = false;
}

}  // namespace merganser
