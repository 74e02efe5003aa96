// What lists tell of a job's recipe. Pure.
#ifndef MERGANSER_COORDINATOR_SERVICE_RECIPE_FACTS_H_
#define MERGANSER_COORDINATOR_SERVICE_RECIPE_FACTS_H_

#include <string_view>

#include "coordinator/service/job.h"

namespace merganser {

// Sets `info`'s method and models to what `recipe` says, within the limits of job_limits.h: every
// model once, the base first. Of a text that is no recipe both stay empty.
void SetRecipeFacts(std::string_view recipe, JobInfo& info);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_RECIPE_FACTS_H_
