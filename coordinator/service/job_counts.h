// Jobs and units of a coordinator, counted at one moment.
#ifndef MERGANSER_COORDINATOR_SERVICE_JOB_COUNTS_H_
#define MERGANSER_COORDINATOR_SERVICE_JOB_COUNTS_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "common/base/clock.h"
#include "coordinator/schedule/types.h"
#include "coordinator/service/job.h"

namespace merganser {

struct JobCounts {
  std::array<size_t, kJobStates> jobs{};  // on record, by state
  Duration oldest_queued{};               // since the first that is queued was created
  ScheduleCounts schedule;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_JOB_COUNTS_H_
