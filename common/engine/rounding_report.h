// What a report says of tensors that are stored block-scaled: how far rounding took them from the
// merged values.
#ifndef MERGANSER_COMMON_ENGINE_ROUNDING_REPORT_H_
#define MERGANSER_COMMON_ENGINE_ROUNDING_REPORT_H_

#include "common/linalg/block_encode.h"
#include "common/methods/merge_method.h"

namespace merganser {

// For one tensor.
ReportField RoundingField(const BlockRounding& rounding);

// Puts, in place of what RoundingField gave, what it comes to over the tensor: `rounding_error`,
// the root of the sum of squared errors over that of the values; `blocks`, and `blocks_kept`, those
// that are the base's bytes.
void TellRounding(ReportFields& fields);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_ROUNDING_REPORT_H_
