// What all rounds measured of a merge, tensor by tensor and gate by gate. Private to this folder.
#ifndef MERGANSER_COMMON_PUBLISH_REPORT_MEASURES_H_
#define MERGANSER_COMMON_PUBLISH_REPORT_MEASURES_H_

#include <cstdint>
#include <map>
#include <vector>

#include "common/engine/unit_result.h"
#include "common/plan/plan.h"

namespace merganser {

struct MeasuredTensor {
  std::map<uint64_t, LeafReport> leaves;
  ReportFields totals;  // of what adds up over its leaves
  double seconds = 0;
};

// As Plan::tensors.
std::vector<MeasuredTensor> MeasuredTensors(const Plan& plan,
                                            const std::vector<UnitResult>& results);
// As Plan::groups.
std::vector<ReportFields> MeasuredGates(const Plan& plan, const std::vector<UnitResult>& results);

// Totals with what follows from them: shares, and how often results were rounded.
ReportFields TotalsOf(const PlannedTensor& tensor, const MeasuredTensor& measured);
ReportFields TotalsOf(const PlannedGroup& group, const std::vector<MeasuredTensor>& measured);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PUBLISH_REPORT_MEASURES_H_
