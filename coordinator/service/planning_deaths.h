// How often a coordinator died while it planned a job, read from the job's events: a job
// whose planning takes the process down does so again at every start, and with it all others.
#ifndef MERGANSER_COORDINATOR_SERVICE_PLANNING_DEATHS_H_
#define MERGANSER_COORDINATOR_SERVICE_PLANNING_DEATHS_H_

#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/service/job_store.h"

namespace merganser {

// After as many a job fails.
inline constexpr int kMostPlanningDeaths = 3;

// Texts of events that tell it. On record before planning begins:
inline constexpr std::string_view kPlanningBegins = "planning begins";
// With every start of a coordinator that finds the job begun:
inline constexpr std::string_view kStartedAgain = "the coordinator was started again";
// Planning came to its end; more text follows.
inline constexpr std::string_view kPlanned = "planned and started";
inline constexpr std::string_view kGoesOn = "goes on";
// It is cancelled, which ends no planning.
inline constexpr std::string_view kBeingCancelled = "is being cancelled";

// Processes that ended, as far as `events` of one job tell, between the beginning of
// planning and the next word on it (a pause for storage, an orderly stop), since the job was
// last planned to the end.
int PlanningDeaths(const std::vector<StoredEvent>& events);

// What such a job fails with.
absl::Status DiedPlanning();

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_PLANNING_DEATHS_H_
