// What the log is told of jobs: one place for levels, words and fields. Pure.
#ifndef MERGANSER_COORDINATOR_SERVICE_JOB_LOG_H_
#define MERGANSER_COORDINATOR_SERVICE_JOB_LOG_H_

#include <string>
#include <string_view>
#include <vector>

#include "common/base/log.h"
#include "common/plan/plan.h"
#include "coordinator/schedule/types.h"
#include "coordinator/service/job.h"

namespace merganser {

// "submitted", with owner, output and priority.
LogLine SubmittedLine(const JobInfo& job);

// "cancelled by olga", with owner and state: `what` was done by a caller.
LogLine CallerLine(const JobInfo& job, std::string_view what, std::string_view by);

// What a change of a job is told as: its new state ("is running"), and warnings that are new.
// Failed is an error with its code and message, cancelled and succeeded say how many units and
// bytes were done.
std::vector<LogLine> ChangeLines(const JobInfo& before, const JobInfo& after);

// A lease that failed or was lost: a warning with round (where there are several), unit, tensor,
// worker and code. `plan`: null where it is not known.
LogLine UnitTroubleLine(const JobInfo& job, const UnitTrouble& trouble, const Plan* plan);

// Anything else that concerns a job.
LogLine JobLine(LogLevel level, const JobInfo& job, std::string message);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_JOB_LOG_H_
