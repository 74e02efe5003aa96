// The label that tells how calls ended.
#ifndef MERGANSER_COMMON_BASE_CODE_LABEL_H_
#define MERGANSER_COMMON_BASE_CODE_LABEL_H_

#include "common/base/metric_names.h"

namespace merganser {

// "code", with the name of every absl::StatusCode at its number's place.
MetricLabel CodeLabel();

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_CODE_LABEL_H_
