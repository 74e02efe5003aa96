// Pages of jobs, read from a board.
#ifndef MERGANSER_COORDINATOR_SERVICE_JOB_LIST_H_
#define MERGANSER_COORDINATOR_SERVICE_JOB_LIST_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/service/job.h"
#include "coordinator/service/job_board.h"

namespace merganser {

struct JobPage {
  std::vector<JobInfo> jobs;  // in the order that was asked for, without recipes
  std::string next_page_token;
  size_t total_size = 0;  // jobs that meet the filter, on whatever page
};

// Waits for nobody. Errors as ListJobs of merge_service.proto has them.
absl::StatusOr<JobPage> ListJobs(const JobBoard& board, const JobQuery& query);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_JOB_LIST_H_
