// A plan for people and for programs.
#ifndef MERGANSER_COMMON_PLAN_PLAN_TEXT_H_
#define MERGANSER_COMMON_PLAN_PLAN_TEXT_H_

#include <string>

#include "common/plan/plan.h"
#include "common/plan/requests.h"

namespace merganser {

// A table of tensors with their modes, then totals and warnings.
std::string PlanText(const Plan& plan, const StorageRequests& requests);

// Stable: keys are only ever added.
std::string PlanJson(const Plan& plan, const StorageRequests& requests);

// One line a group of warnings, at most `limit` lines and a count of the rest.
std::string WarningsText(const Plan& plan, size_t limit);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PLAN_PLAN_TEXT_H_
