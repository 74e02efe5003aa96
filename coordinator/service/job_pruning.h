// Which of the jobs that have ended are forgotten. Pure.
#ifndef MERGANSER_COORDINATOR_SERVICE_JOB_PRUNING_H_
#define MERGANSER_COORDINATOR_SERVICE_JOB_PRUNING_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/base/clock.h"

namespace merganser {

struct EndedJob {
  uint64_t sequence = 0;
  std::string owner;
  Duration ended_after = Duration::zero();  // as in JobRecord
};

struct KeptJobs {
  size_t jobs = 0;                  // at most
  Duration age = Duration::zero();  // no older ones; zero: of any age
};

struct OutdatedJobs {
  std::vector<uint64_t> old;     // sequences of those above the age
  std::vector<uint64_t> excess;  // and of those above the number
};

// Above the number, the oldest of whoever has most goes first: no owner's jobs push out those
// of one who has fewer.
OutdatedJobs FindOutdated(std::vector<EndedJob> ended, const KeptJobs& kept, Duration served);

// Counts what was forgotten until it is told.
class ForgottenJobs {
 public:
  void Add(const std::string& owner, bool old);
  bool empty() const { return owners_.empty(); }
  // One line: how many, why and whose; empties it.
  std::string Take(const KeptJobs& kept);

 private:
  size_t old_ = 0, excess_ = 0;
  std::map<std::string, size_t> owners_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_JOB_PRUNING_H_
