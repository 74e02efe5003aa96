// Unit results as bytes, for the progress log: pure codec, no I/O.
#ifndef MERGANSER_COMMON_ENGINE_RESULT_RECORD_H_
#define MERGANSER_COMMON_ENGINE_RESULT_RECORD_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/engine/unit_result.h"
#include "common/plan/plan.h"

namespace merganser {

// Layout: "MRGPROG2", the plan's digest, the number of results, the results field
// by field in the order of their struct, and last 32 hex digits of XXH3 of all
// before. Integers are little-endian uint64, float64 by their bits, texts and lists
// preceded by their length. What earlier versions wrote, "MRGPROG1", ends before
// UnitResult::stages; it is read too.
std::string PackResults(const std::string& plan_digest, const std::vector<UnitResult>& results);

// kDataLoss for bytes that are damaged or cut off; kFailedPrecondition when they
// were written under another plan; kDataLoss when a result names what `plan` does
// not have.
absl::StatusOr<std::vector<UnitResult>> ParseResults(std::string_view bytes, const Plan& plan);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_RESULT_RECORD_H_
