#include "coordinator/service/planning_deaths.h"

#include <string_view>

#include "absl/strings/str_cat.h"

namespace merganser {

int PlanningDeaths(const std::vector<StoredEvent>& events) {
  int deaths = 0;
  bool planning = false;
  for (const StoredEvent& stored : events) {
    const std::string_view text = stored.event.text;
    if (text == kBeingCancelled) continue;
    if (text == kStartedAgain && planning) ++deaths;
    if (text.starts_with(kPlanned) || text.starts_with(kGoesOn)) deaths = 0;
    planning = text == kPlanningBegins;
  }
  return planning ? deaths + 1 : deaths;
}

absl::Status DiedPlanning() {
  return absl::InternalError(absl::StrCat(
      "a coordinator died ", kMostPlanningDeaths,
      " times while it planned this job, so it is not tried again; look into the coordinator's "
      "log for the cause (memory.max, ulimit -v, pids.max), mend it, and submit the job again"));
}

}  // namespace merganser
