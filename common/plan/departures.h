// Where a merge treats tensors otherwise than the method's authors do.
#ifndef MERGANSER_COMMON_PLAN_DEPARTURES_H_
#define MERGANSER_COMMON_PLAN_DEPARTURES_H_

#include <string>
#include <vector>

#include "common/plan/plan.h"

namespace merganser {

// One line for each way in which they are (MethodInfo::differs), with the number of tensors and
// the first few names: "48 tensors (model.layers.*.mixer.A_log) are averaged, where ...". None
// where nothing is treated otherwise. Of a plan that has tensors and methods; it may have
// travelled.
std::vector<std::string> Departures(const Plan& plan);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PLAN_DEPARTURES_H_
