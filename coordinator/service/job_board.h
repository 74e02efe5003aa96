// What readers see of jobs: immutable snapshots that the manager posts as jobs change. Lists,
// watchers and pages read here and never wait for whoever works on the jobs.
#ifndef MERGANSER_COORDINATOR_SERVICE_JOB_BOARD_H_
#define MERGANSER_COORDINATOR_SERVICE_JOB_BOARD_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "coordinator/service/job.h"

namespace merganser {

struct JobView {
  std::shared_ptr<const JobInfo> info;  // without recipe and events; never null
  std::shared_ptr<const std::string> recipe;
  std::shared_ptr<const std::vector<JobEvent>> events;
  uint64_t sequence = 0;  // of creation
  uint64_t version = 0;   // rises over all jobs with every change
};

// Thread-safe; its lock is held for copies of pointers, never for anything slow.
class JobBoard {
 public:
  // Of the states, by their numbers.
  using StateCounts = std::array<size_t, kJobStates>;
  struct Changes {
    uint64_t version = 0;              // to ask with the next time
    bool all = false;                  // `since` is too old: `changed` are all that there are
    std::vector<JobView> changed;      // oldest change first
    std::vector<std::string> removed;  // names
  };

  // Replaces what was there of the job, unless that says the same.
  void Post(JobView view);
  void Remove(const std::string& uid);

  std::optional<JobView> Find(const std::string& uid) const;
  // Those created before `sequence`, newest first; `most` of them.
  std::vector<JobView> Before(uint64_t sequence, size_t most) const;
  // Newest first.
  std::vector<JobView> All() const;
  // What was posted and removed after `since`; 0 is all.
  Changes Since(uint64_t since) const;
  uint64_t version() const;
  // Waits until there is something newer than `version`, for `limit`, or until Close; the newest.
  uint64_t Await(uint64_t version, Duration limit) const;
  // Nothing waits any more.
  void Close();
  bool closed() const;

  size_t size() const;
  StateCounts counts() const;
  // When the oldest job that is queued was created.
  std::optional<WallTime> oldest_queued() const;

 private:
  struct Removed {
    uint64_t version = 0;
    std::string name;
  };

  mutable Mutex mutex_;
  mutable CondVar changed_;
  bool closed_ MERGANSER_GUARDED_BY(mutex_) = false;
  uint64_t version_ MERGANSER_GUARDED_BY(mutex_) = 0;
  std::map<uint64_t, JobView> views_ MERGANSER_GUARDED_BY(mutex_);  // by sequence
  std::map<std::string, uint64_t> by_uid_ MERGANSER_GUARDED_BY(mutex_);
  std::map<uint64_t, uint64_t> by_version_ MERGANSER_GUARDED_BY(mutex_);  // to sequences
  std::deque<Removed> removed_ MERGANSER_GUARDED_BY(mutex_);
  uint64_t forgotten_ MERGANSER_GUARDED_BY(mutex_) = 0;  // version up to which removals are gone
  StateCounts counts_ MERGANSER_GUARDED_BY(mutex_) = {};
  // Of queued jobs: when created, and sequence.
  std::set<std::pair<WallTime, uint64_t>> queued_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_JOB_BOARD_H_
