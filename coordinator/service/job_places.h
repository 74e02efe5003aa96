// The queue, and the places of the jobs that are active.
#ifndef MERGANSER_COORDINATOR_SERVICE_JOB_PLACES_H_
#define MERGANSER_COORDINATOR_SERVICE_JOB_PLACES_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "coordinator/service/managed_job.h"

namespace merganser {

// A job is in the queue, taken, or neither. Of those that are taken, all but those that lent
// their place are active. Not thread-safe; nothing here waits.
class JobPlaces {
 public:
  // So many are active at a time, but for those that take back what they lent.
  explicit JobPlaces(int places) : places_(places) {}

  // --- The queue: higher priorities first, and among those the first come.
  void Enqueue(const JobPtr& job);
  // As the next of its priority.
  void PutBack(const JobPtr& job);
  // Whether it was in the queue.
  bool Withdraw(const JobPtr& job);
  const std::deque<JobPtr>& queue() const { return queue_; }
  std::deque<JobPtr> TakeQueue();
  // kResourceExhausted (TOO_MANY_JOBS) where a queue of `most` has no room for another one of
  // `owner`: nobody has more in it than there is room for.
  absl::Status CheckQueue(const std::string& owner, size_t most) const;
  // Why a job that is in the queue waits; empty for others.
  std::string QueueText(const ManagedJob& job) const;

  // --- The places.
  // The job whose turn it is; nullptr where none waits, or no place is free. Jobs that lent
  // their places and want them go first.
  JobPtr Next() const;
  // From the queue. Where memory runs out it stays there.
  void Take(const JobPtr& job);
  // It has ended. Also takes back its place.
  void Leave(ManagedJob& job);
  const std::map<uint64_t, JobPtr>& taken() const { return taken_; }  // by sequence
  int active() const { return static_cast<int>(taken_.size()) - lent_; }
  int lent() const { return lent_; }
  int free() const { return places_ - active(); }
  // Runners that have something to do at a time: one for each place, and for each that is lent.
  int runners() const { return places_ + lent_; }

  // Lets another job have its place. False: it had before.
  bool Lend(ManagedJob& job);
  // And back, though there be none free. False: nothing has changed.
  bool TakeBack(ManagedJob& job);
  // Whether it could go on, if it had a place. False: as it was.
  bool SetWanted(ManagedJob& job, bool wanted);

  // Rises with every change of what QueueText tells.
  uint64_t moves() const { return moves_; }
  void Moved() { ++moves_; }

 private:
  const int places_;
  std::deque<JobPtr> queue_;
  std::map<uint64_t, JobPtr> taken_;
  int lent_ = 0;    // of these, by jobs that wait
  int wanted_ = 0;  // by these, to go on
  uint64_t moves_ = 0;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_JOB_PLACES_H_
