// What the report tells of how a merge ran. Private to this folder.
#ifndef MERGANSER_COMMON_PUBLISH_REPORT_RUN_H_
#define MERGANSER_COMMON_PUBLISH_REPORT_RUN_H_

#include <vector>

#include "common/engine/unit_result.h"
#include "common/publish/report.h"
#include "nlohmann/json_fwd.hpp"

namespace merganser {

// The member `run`: all that may differ where the bytes are the same, but for the tensors' seconds.
nlohmann::ordered_json RunJson(const std::vector<UnitResult>& results, const RunFacts& facts);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PUBLISH_REPORT_RUN_H_
