// Whether a unit's result can be of a plan: what is read of it is never out of range afterwards.
#ifndef MERGANSER_COMMON_ENGINE_RESULT_CHECK_H_
#define MERGANSER_COMMON_ENGINE_RESULT_CHECK_H_

#include "absl/status/status.h"
#include "common/engine/unit_result.h"
#include "common/plan/plan.h"

namespace merganser {

// kDataLoss, naming unit and field, when the unit, its round, a tensor, leaf or group does not
// exist, when sums are of a tensor that shares no gate, when there is not one digest of 32
// lower-case hex digits a segment (in the round that writes; none in others), or when a receipt
// lies outside the unit's bytes.
absl::Status CheckResult(const UnitResult& result, const Plan& plan);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_RESULT_CHECK_H_
