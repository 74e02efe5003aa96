#include "coordinator/journal/journal.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/mutex.h"
#include "common/base/status.h"
#include "common/base/thread.h"
#include "coordinator/journal/schema.h"
#include "coordinator/journal/state_directory.h"
#include "coordinator/journal/tables.h"

namespace merganser {
namespace {

constexpr char kFileName[] = "merganser.db";
// What the write-ahead log is cut to after a large transaction.
constexpr int kLogBytes = 64 << 20;
// A coordinator that was told to stop may still be at it.
constexpr int kBusyTimeoutMs = 2000;

absl::Status FromException(const std::string& file, const SQLite::Exception& error) {
  const std::string what = absl::StrCat("journal ", OneLine(file), ": ", OneLine(error.what()));
  switch (error.getErrorCode()) {
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(absl::StrCat(what, "; make room on its file system"));
    case SQLITE_NOMEM:
      return absl::ResourceExhaustedError(what);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(absl::StrCat(
          what,
          "; expected a journal that is whole. Move the --state folder away and start anew: jobs "
          "that had ended are complete, the others are to be submitted again with --overwrite"));
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
      return absl::PermissionDeniedError(
          absl::StrCat(what, "; expected a file that this user may write"));
    case SQLITE_IOERR:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
      return absl::UnavailableError(absl::StrCat(what, "; look at the disk"));
    default:
      return absl::InternalError(what);
  }
}

bool IsBusy(const SQLite::Exception& error) {
  return error.getErrorCode() == SQLITE_BUSY || error.getErrorCode() == SQLITE_LOCKED;
}

// SQLite would make the file for everybody to read. Must not open one that is there:
// closing it again would drop the locks of another journal in this process.
absl::Status CreateFileFor(const std::string& directory, const std::string& file) {
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) {
    return errno == EEXIST ? absl::OkStatus() : ErrnoStatus(errno, absl::StrCat("open ", file));
  }
  ::close(fd);
  const int folder = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return ErrnoStatus(errno, absl::StrCat("open ", directory));
  const int rc = ::fsync(folder);
  const int error_number = errno;
  ::close(folder);
  return rc == 0 ? absl::OkStatus() : ErrnoStatus(error_number, absl::StrCat("fsync ", directory));
}

}  // namespace

// One thread owns the connection; calls queue their work for it. The protocol stands in
// README.md; the numbers below are its steps.
struct Journal::Impl {
  struct Work {
    std::function<absl::Status(Tables&)> run;
    bool writes = true;
    std::string events_of;  // a job's uid
    bool taken = false;     // by the thread
    bool done = false;
    absl::Status status;
  };
  using Place = std::list<std::shared_ptr<Work>>::iterator;

  Impl(const JournalOptions& from, const Clock& with) : options(from), clock(with) {}

  // Queues `run` and waits for it: a change until it is durable.
  absl::Status Do(bool writes, std::function<absl::Status(Tables&)> run) {
    return Guarded([&]() -> absl::Status {
      auto work = std::make_shared<Work>();
      work->run = std::move(run);
      work->writes = writes;
      MutexLock lock(mutex);
      queue.push_back(work);
      queued.NotifyOne();
      while (!work->done) finished.Wait(mutex);
      return work->status;
    });
  }

  // The same for a change that is waited for no longer than `limit`, and outlives the call.
  absl::Status DoWithin(Duration limit, std::function<absl::Status(Tables&)> run) {
    return Guarded([&]() -> absl::Status {
      auto work = std::make_shared<Work>();
      work->run = std::move(run);
      MutexLock lock(mutex);
      const auto now = std::chrono::steady_clock::now();
      if (busy_since.has_value() && now - *busy_since >= limit) return Late(limit);
      queue.push_back(work);
      queued.NotifyOne();
      const auto until = now + limit;
      while (!work->done) {
        const auto left = until - std::chrono::steady_clock::now();
        if (left > Duration::zero()) {
          finished.WaitFor(mutex, left);
          continue;
        }
        if (!work->taken) queue.remove(work);
        return Late(limit);
      }
      return work->status;
    });
  }

  absl::Status Late(Duration limit) const {
    return absl::UnavailableError(absl::StrCat(
        "journal ", OneLine(file), ": its disk has not answered for ",
        std::chrono::duration_cast<std::chrono::milliseconds>(limit).count(), " ms; look at it"));
  }

  // Queues events of a job. Nobody waits for them: a disk that hangs must not let them pile up.
  void PostEvents(const std::string& uid, std::function<absl::Status(Tables&)> run) {
    auto work = std::make_shared<Work>();
    work->events_of = uid;
    work->run = std::move(run);
    std::list<std::shared_ptr<Work>> one = {std::move(work)};
    MutexLock lock(mutex);
    std::deque<Place>& places = queued_events[uid];
    places.push_back(one.begin());
    queue.splice(queue.end(), one);  // takes no memory
    if (places.size() > options.waiting_events) {
      queue.erase(places.front());
      places.pop_front();
    }
    queued.NotifyOne();
  }

  // Under the lock, of what leaves the queue at its front.
  void Take(Work& work) MERGANSER_REQUIRES(mutex) {
    work.taken = true;
    const auto it = queued_events.find(work.events_of);
    if (it == queued_events.end()) return;
    it->second.pop_front();
    if (it->second.empty()) queued_events.erase(it);
  }

  // Queues the time served, unless an earlier one waits: that becomes this one.
  void PostServed(Duration time) {
    MutexLock lock(mutex);
    if (!served.has_value()) {
      auto work = std::make_shared<Work>();
      work->run = [this](Tables& to) {
        to.SetServed(TakeServed());
        return absl::OkStatus();
      };
      queue.push_back(std::move(work));
      queued.NotifyOne();
    }
    served = time;
  }

  // Queues what is kept of a job, unless an earlier one waits: that becomes this one.
  void PostActivity(const std::string& uid, std::string activity) {
    auto work = std::make_shared<Work>();
    work->run = [this, uid](Tables& to) {
      to.KeepActivity(uid, TakeActivity(uid));
      return absl::OkStatus();
    };
    std::list<std::shared_ptr<Work>> one = {std::move(work)};
    MutexLock lock(mutex);
    const auto [it, fresh] = activities.try_emplace(uid);
    it->second = std::move(activity);
    if (!fresh) return;
    queue.splice(queue.end(), one);  // takes no memory
    queued.NotifyOne();
  }

  std::string TakeActivity(const std::string& uid) {
    MutexLock lock(mutex);
    const auto node = activities.extract(uid);
    return node.empty() ? "" : std::move(node.mapped());
  }

  Duration TakeServed() {
    MutexLock lock(mutex);
    const Duration time = *served;
    served.reset();
    return time;
  }

  void Loop() {
    std::optional<std::chrono::steady_clock::time_point> last_commit;
    while (true) {
      std::list<std::shared_ptr<Work>> batch;  // moved from list to list: that takes no memory
      {
        MutexLock lock(mutex);
        while (queue.empty() && !closing) queued.Wait(mutex);
        if (queue.empty()) return;
        // 1. What comes within the interval shares a commit.
        while (!queue.empty() && queue.front()->writes && last_commit.has_value() && !closing) {
          const auto left =
              *last_commit + options.commit_interval - std::chrono::steady_clock::now();
          if (left <= Duration::zero()) break;
          queued.WaitFor(mutex, left);
        }
        if (queue.empty()) continue;  // what was there is not wanted any more
        const bool writes = queue.front()->writes;
        do {
          Take(*queue.front());
          batch.splice(batch.end(), queue, queue.begin());
        } while (writes && !queue.empty() && queue.front()->writes);
        busy_since = std::chrono::steady_clock::now();
        if (writes) last_commit = busy_since;
      }
      const absl::Status status = Guarded([&] { return Run(batch); });
      MutexLock lock(mutex);
      busy_since.reset();
      // 4. Nobody hears of success before.
      for (const std::shared_ptr<Work>& work : batch) {
        if (!status.ok()) work->status = status;
        work->done = true;
      }
      finished.NotifyAll();
    }
  }

  // A batch succeeds or fails as a whole.
  absl::Status Run(const std::list<std::shared_ptr<Work>>& batch) {
    try {
      if (!batch.front()->writes) {
        batch.front()->status = batch.front()->run(*tables);
        return absl::OkStatus();
      }
      // 2. One transaction. Its destructor rolls back what was not committed.
      SQLite::Transaction transaction(*database, SQLite::TransactionBehavior::IMMEDIATE);
      for (const std::shared_ptr<Work>& work : batch) work->status = work->run(*tables);
      transaction.commit();  // 3
      return absl::OkStatus();
    } catch (const SQLite::Exception& error) {
      return FromException(file, error);
    }
  }

  const JournalOptions options;
  const Clock& clock;
  std::string file;
  std::unique_ptr<SQLite::Database> database;
  std::unique_ptr<Tables> tables;

  Mutex mutex;
  CondVar queued;
  CondVar finished;
  std::list<std::shared_ptr<Work>> queue MERGANSER_GUARDED_BY(mutex);
  // Where events stand in it, by job.
  std::map<std::string, std::deque<Place>> queued_events MERGANSER_GUARDED_BY(mutex);
  // Since when the thread has been at the present batch.
  std::optional<std::chrono::steady_clock::time_point> busy_since MERGANSER_GUARDED_BY(mutex);
  // The same of activities, by job.
  std::map<std::string, std::string> activities MERGANSER_GUARDED_BY(mutex);
  std::optional<Duration> served MERGANSER_GUARDED_BY(mutex);  // queued, and not yet taken
  bool closing MERGANSER_GUARDED_BY(mutex) = false;
  Thread thread;
};

Journal::Journal(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Journal::~Journal() {
  {
    MutexLock lock(impl_->mutex);
    impl_->closing = true;
    impl_->queued.NotifyAll();
  }
  impl_->thread.Join().IgnoreError();
}

absl::StatusOr<std::unique_ptr<Journal>> Journal::Open(const JournalOptions& options,
                                                       const Clock& clock) {
  MERGANSER_RETURN_IF_ERROR(PrepareStateDirectory(options.directory));
  auto impl = std::make_unique<Impl>(options, clock);
  impl->file = absl::StrCat(options.directory, "/", kFileName);
  MERGANSER_RETURN_IF_ERROR(CreateFileFor(options.directory, impl->file));
  try {
    impl->database =
        std::make_unique<SQLite::Database>(impl->file, SQLite::OPEN_READWRITE, kBusyTimeoutMs);
    SQLite::Database& database = *impl->database;
    // Before the first access, so that the write-ahead log needs no shared memory.
    database.exec("PRAGMA locking_mode = EXCLUSIVE");
    database.exec("PRAGMA synchronous = FULL");
    database.exec("PRAGMA foreign_keys = ON");
    if (const absl::Status schema = MigrateSchema(database); !schema.ok()) {
      return Annotate(schema, absl::StrCat("journal ", OneLine(impl->file)));
    }
    database.exec("PRAGMA journal_mode = WAL");
    database.exec(absl::StrCat("PRAGMA journal_size_limit = ", kLogBytes));
    impl->tables = std::make_unique<Tables>(database);
  } catch (const SQLite::Exception& error) {
    if (!IsBusy(error)) return FromException(impl->file, error);
    return absl::FailedPreconditionError(absl::StrCat(
        "--state ", OneLine(options.directory), ": held by ", HolderOf(options.directory),
        ", expected no other coordinator; stop it, or "
        "choose another folder"));
  }
  MERGANSER_RETURN_IF_ERROR(WriteHolder(options.directory));
  std::unique_ptr<Journal> journal(new Journal(std::move(impl)));
  MERGANSER_ASSIGN_OR_RETURN(journal->impl_->thread,
                             Thread::Start([self = journal->impl_.get()] { self->Loop(); }));
  return journal;
}

absl::StatusOr<uint64_t> Journal::NextEpoch() {
  uint64_t epoch = 0;
  const uint64_t least = LeastEpoch(impl_->clock.WallNow());
  MERGANSER_RETURN_IF_ERROR(impl_->Do(true, [&](Tables& tables) {
    epoch = tables.RaiseEpoch(least);
    return absl::OkStatus();
  }));
  return epoch;
}

absl::StatusOr<Duration> Journal::Served() {
  Duration served{};
  MERGANSER_RETURN_IF_ERROR(impl_->Do(false, [&](Tables& tables) {
    served = tables.Served();
    return absl::OkStatus();
  }));
  return served;
}

void Journal::SetServed(Duration served) { impl_->PostServed(served); }

absl::StatusOr<std::vector<JobRecord>> Journal::Load() {
  std::vector<JobRecord> records;
  const absl::Status loaded = impl_->Do(false, [&](Tables& tables) -> absl::Status {
    MERGANSER_ASSIGN_OR_RETURN(records, tables.LoadJobs());
    return absl::OkStatus();
  });
  if (absl::IsDataLoss(loaded)) return Annotate(loaded, absl::StrCat("journal ", impl_->file));
  MERGANSER_RETURN_IF_ERROR(loaded);
  return records;
}

absl::Status Journal::Save(const JobRecord& record) {
  return impl_->Do(true, [&](Tables& tables) {
    tables.SaveJob(record);
    return absl::OkStatus();
  });
}

absl::Status Journal::Remove(const std::string& uid) {
  return impl_->Do(true, [&](Tables& tables) {
    tables.RemoveJob(uid);
    return absl::OkStatus();
  });
}

absl::Status Journal::Retire(const std::string& uid) {
  return impl_->Do(true, [&](Tables& tables) {
    tables.RetireJob(uid);
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<SpentRequest>> Journal::LoadSpent() {
  std::vector<SpentRequest> requests;
  const absl::Status loaded = impl_->Do(false, [&](Tables& tables) -> absl::Status {
    MERGANSER_ASSIGN_OR_RETURN(requests, tables.LoadSpent());
    return absl::OkStatus();
  });
  if (absl::IsDataLoss(loaded)) return Annotate(loaded, absl::StrCat("journal ", impl_->file));
  MERGANSER_RETURN_IF_ERROR(loaded);
  return requests;
}

absl::Status Journal::ForgetSpent(const std::vector<std::string>& request_ids) {
  return impl_->Do(true, [&](Tables& tables) {
    tables.ForgetSpent(request_ids);
    return absl::OkStatus();
  });
}

absl::Status Journal::AddResults(std::vector<StoredResult> results) {
  return impl_->DoWithin(impl_->options.results_wait,
                         [results = std::move(results)](Tables& tables) {
                           tables.AddResults(results);
                           return absl::OkStatus();
                         });
}

absl::StatusOr<std::vector<StoredResult>> Journal::DoResults(
    const std::string& uid, const std::optional<ResultPlace>& after, uint64_t bytes) {
  std::vector<StoredResult> results;
  MERGANSER_RETURN_IF_ERROR(impl_->Do(false, [&](Tables& tables) {
    results = tables.Results(uid, after, bytes);
    return absl::OkStatus();
  }));
  return results;
}

absl::Status Journal::ForgetResults(const std::string& uid) {
  return impl_->Do(true, [&](Tables& tables) {
    tables.ForgetResults(uid);
    return absl::OkStatus();
  });
}

void Journal::AddEvents(const std::string& uid, const std::vector<StoredEvent>& events) {
  impl_->PostEvents(uid, [uid, events](Tables& tables) {
    tables.AddEvents(uid, events);
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<StoredEvent>> Journal::Events(const std::string& uid) {
  std::vector<StoredEvent> events;
  MERGANSER_RETURN_IF_ERROR(impl_->Do(false, [&](Tables& tables) {
    events = tables.Events(uid);
    return absl::OkStatus();
  }));
  return events;
}

void Journal::KeepActivity(const std::string& uid, std::string activity) {
  Guarded([&] { impl_->PostActivity(uid, std::move(activity)); }).IgnoreError();
}

absl::StatusOr<std::string> Journal::Activity(const std::string& uid) {
  std::string activity;
  MERGANSER_RETURN_IF_ERROR(impl_->Do(false, [&](Tables& tables) {
    activity = tables.Activity(uid);
    return absl::OkStatus();
  }));
  return activity;
}

}  // namespace merganser
