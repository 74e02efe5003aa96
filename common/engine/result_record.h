// Unit results as bytes, as they travel and as they are kept: pure codec, no I/O.
#ifndef MERGANSER_COMMON_ENGINE_RESULT_RECORD_H_
#define MERGANSER_COMMON_ENGINE_RESULT_RECORD_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/engine/unit_result.h"
#include "common/plan/plan.h"

namespace merganser {

// Layout: "MRGPROG3", the plan's digest, the number of results, the results field
// by field in the order of their struct, and last 32 hex digits of XXH3 of all
// before. Fields are those of wire.h; a histogram is the number of its keys, and then each one's
// distance to the key before and its count (WireWriter::Short). What earlier versions wrote,
// "MRGPROG1" (it ends before UnitResult::stages) and "MRGPROG2" (keys and counts in 8 bytes), is
// read too.
std::string PackResults(const std::string& plan_digest, const std::vector<UnitResult>& results);
// Of one unit.
std::string PackResult(const std::string& plan_digest, const UnitResult& result);

// kDataLoss for bytes that are damaged or cut off; kFailedPrecondition when they
// were written under another plan, or by a newer version; kDataLoss when a result does not fit the
// plan (CheckResult).
absl::StatusOr<std::vector<UnitResult>> ParseResults(std::string_view bytes, const Plan& plan);
// What PackResult made; kDataLoss for the results of several units.
absl::StatusOr<UnitResult> ParseResult(std::string_view bytes, const Plan& plan);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_RESULT_RECORD_H_
