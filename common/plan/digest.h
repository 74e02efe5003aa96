#ifndef MERGANSER_COMMON_PLAN_DIGEST_H_
#define MERGANSER_COMMON_PLAN_DIGEST_H_

#include <string>
#include <vector>

#include "common/plan/plan.h"

namespace merganser {

// What decides a merge's bytes, as 32 hex digits: method and parameters, every
// input's identity and header, the output's layout and the numerics version.
// Work of a job is only ever resumed under the same digest (and output, which
// is where its progress is kept). `asked`: what the recipe asks for of how models are made to
// fit, of recipes that do.
std::string PlanDigest(const Plan& plan, const std::vector<std::string>& asked = {});

// Of a method and its parameters alone: equal configs have equal digests.
std::string MethodDigest(const MethodConfig& method);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PLAN_DIGEST_H_
