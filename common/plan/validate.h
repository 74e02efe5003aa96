// Whether a plan that came from elsewhere is one that MakePlan could have made.
#ifndef MERGANSER_COMMON_PLAN_VALIDATE_H_
#define MERGANSER_COMMON_PLAN_VALIDATE_H_

#include "absl/status/status.h"
#include "common/plan/plan.h"

namespace merganser {

// Pure. Every index is within its table; tensors, leaves, segments and units have the
// sizes that their shapes and types give; what is read lies within its file; segments
// tile their unit, units and tensors their shard; groups list the tensors that name
// them; the totals add up. So whoever runs the plan needs no check of its own.
// kInvalidArgument names the place ("plan.units[1].segments[0].bytes_out"), what was
// found and what was expected. Digest and texts are not looked at.
absl::Status ValidatePlan(const Plan& plan);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PLAN_VALIDATE_H_
