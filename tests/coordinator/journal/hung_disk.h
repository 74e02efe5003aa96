// A disk that does not answer, for SQLite: while it hangs, no file of a database that was
// opened meanwhile is synced.
#ifndef MERGANSER_TESTS_COORDINATOR_JOURNAL_HUNG_DISK_H_
#define MERGANSER_TESTS_COORDINATOR_JOURNAL_HUNG_DISK_H_

#include <sqlite3.h>

#include <list>

#include "common/base/mutex.h"

namespace merganser {

// One at a time in a process. Databases are to be opened after it was made, and closed before
// its end. Thread-safe.
class HungDisk {
 public:
  HungDisk() {
    base_ = sqlite3_vfs_find(nullptr);
    vfs_ = *base_;
    vfs_.zName = "hung-disk";
    vfs_.xOpen = [](sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out) {
      const int rc = base_->xOpen(base_, name, file, flags, out);
      if (rc != SQLITE_OK || file->pMethods == nullptr) return rc;
      file->pMethods = &disk_->Hanging(file->pMethods);
      return rc;
    };
    disk_ = this;
    sqlite3_vfs_register(&vfs_, /*makeDflt=*/1);
  }
  ~HungDisk() {
    Answer();
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(base_, /*makeDflt=*/1);
  }
  HungDisk(const HungDisk&) = delete;
  HungDisk& operator=(const HungDisk&) = delete;

  void Hang() {
    MutexLock lock(mutex_);
    hangs_ = true;
  }
  void Answer() {
    MutexLock lock(mutex_);
    hangs_ = false;
    changed_.NotifyAll();
  }
  // Returns when somebody waits for it.
  void AwaitHung() {
    MutexLock lock(mutex_);
    while (waiting_ == 0) changed_.Wait(mutex_);
  }

 private:
  // SQLite's methods of a kind of files, and the same with a sync that may hang.
  struct Methods {
    sqlite3_io_methods hanging;  // first: a file points to it
    const sqlite3_io_methods* base;
  };

  const sqlite3_io_methods& Hanging(const sqlite3_io_methods* base) {
    MutexLock lock(mutex_);
    for (const Methods& methods : methods_) {
      if (methods.base == base) return methods.hanging;
    }
    Methods& methods = methods_.emplace_back(Methods{*base, base});
    methods.hanging.xSync = [](sqlite3_file* file, int how) {
      disk_->Await();
      return reinterpret_cast<const Methods*>(file->pMethods)->base->xSync(file, how);
    };
    return methods.hanging;
  }

  void Await() {
    MutexLock lock(mutex_);
    ++waiting_;
    changed_.NotifyAll();
    while (hangs_) changed_.Wait(mutex_);
    --waiting_;
  }

  // SQLite's interface is one of functions.
  static inline sqlite3_vfs* base_ = nullptr;
  static inline HungDisk* disk_ = nullptr;

  sqlite3_vfs vfs_ = {};
  Mutex mutex_;
  CondVar changed_;
  bool hangs_ MERGANSER_GUARDED_BY(mutex_) = false;
  int waiting_ MERGANSER_GUARDED_BY(mutex_) = 0;
  std::list<Methods> methods_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace merganser

#endif  // MERGANSER_TESTS_COORDINATOR_JOURNAL_HUNG_DISK_H_
