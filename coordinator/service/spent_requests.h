// Request ids that outlive their jobs. Not thread-safe.
#ifndef MERGANSER_COORDINATOR_SERVICE_SPENT_REQUESTS_H_
#define MERGANSER_COORDINATOR_SERVICE_SPENT_REQUESTS_H_

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "coordinator/service/job_store.h"

namespace merganser {

// Of each owner, the last ones.
inline constexpr size_t kMaxSpentRequests = 10'000;

class SpentRequests {
 public:
  explicit SpentRequests(size_t most_of_an_owner = kMaxSpentRequests) : most_(most_of_an_owner) {}

  // Replaces an earlier one of the same id.
  void Add(SpentRequest request);
  // nullptr if it is not there; valid until the next change.
  const SpentRequest* Find(const std::string& request_id) const;
  // Takes out those whose job ended more than `age` before `served` (zero: of no age), and
  // the oldest of an owner that has too many; their ids.
  std::vector<std::string> Trim(Duration served, Duration age);

 private:
  using Order = std::map<std::pair<Duration, std::string>, const SpentRequest*>;  // oldest first

  void Drop(const std::string& request_id);

  const size_t most_;
  std::map<std::string, SpentRequest> by_id_;
  std::map<std::string, Order> by_owner_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_SPENT_REQUESTS_H_
