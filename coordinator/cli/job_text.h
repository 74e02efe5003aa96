// Jobs for people and for programs.
#ifndef MERGANSER_COORDINATOR_CLI_JOB_TEXT_H_
#define MERGANSER_COORDINATOR_CLI_JOB_TEXT_H_

#include <string>
#include <vector>

#include "coordinator/service/job.h"

namespace merganser::cli {

// Several lines: state, progress, times, error.
std::string JobText(const JobInfo& job);
// A table, one line a job; `now` is what ages are counted to.
std::string JobTable(const std::vector<JobInfo>& jobs, WallTime now);
// Stable: keys are only ever added.
std::string JobJson(const JobInfo& job);
std::string JobListJson(const std::vector<JobInfo>& jobs);
// JobJson on one line.
std::string JobLine(const JobInfo& job);

// A job as people give it: what they copy may lack the collection.
std::string FullJobName(const std::string& job);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_JOB_TEXT_H_
