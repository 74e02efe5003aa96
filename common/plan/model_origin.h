// What a model of a plan is made of, as plans, reports, cards and pages tell it: the formats that
// its files hold, and the adapters on it.
#ifndef MERGANSER_COMMON_PLAN_MODEL_ORIGIN_H_
#define MERGANSER_COMMON_PLAN_MODEL_ORIGIN_H_

#include <string>

#include "common/plan/plan.h"
#include "nlohmann/json_fwd.hpp"

namespace merganser {

// One line: "stored as BF16", "stored as FP8 E4M3 with 128x128 blocks (3 tensors), BF16 (2
// tensors)", "LoRA, 224 of 224 modules, r=16, alpha 32, scale 2, on /models/base, stored as BF16";
// of several adapters each with its name. Empty where the plan does not know (one that travelled).
std::string DescribeOrigin(const PlannedModel& model);

// The same as fields: `text`; `on` (of adapters: the base's URI); `stored_as`, the formats alone;
// and `stored`, a list of `format`, `tensors`, `elements` and, where values have scales, `scales`
// (their dtype) and `block`, rows and columns that one is for (null: all of a matrix). The adapters
// themselves are not among them.
nlohmann::ordered_json OriginJson(const PlannedModel& model);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PLAN_MODEL_ORIGIN_H_
