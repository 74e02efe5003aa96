// Jobs for people and for programs.
#ifndef MERGANSER_COORDINATOR_CLI_JOB_TEXT_H_
#define MERGANSER_COORDINATOR_CLI_JOB_TEXT_H_

#include <string>
#include <vector>

#include "coordinator/service/job.h"

namespace merganser::cli {

// Several lines: state, progress, times, error.
std::string JobText(const JobInfo& job);
// A table, one line a job.
std::string JobTable(const std::vector<JobInfo>& jobs);
// Stable: keys are only ever added.
std::string JobJson(const JobInfo& job);
std::string JobListJson(const std::vector<JobInfo>& jobs);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_JOB_TEXT_H_
