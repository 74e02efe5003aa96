// What `merganser inspect` tells of a checkpoint: from headers alone.
#ifndef MERGANSER_COMMON_PUBLISH_INSPECT_H_
#define MERGANSER_COMMON_PUBLISH_INSPECT_H_

#include <string>

#include "common/checkpoint/checkpoint.h"

namespace merganser {

// Totals, shards, then a line a tensor, in checkpoint order.
std::string InspectText(const Checkpoint& checkpoint);

// The same as one JSON object. Keys are stable: `model`, `uri`, `model_type`,
// `architecture`, `tied`, `totals` {tensors, parameters, bytes, dtypes {NAME:
// {tensors, parameters}}}, `shards` [{file, size, tensors}], `tensors` [{name,
// dtype, shape, file, offset, bytes}].
std::string InspectJson(const Checkpoint& checkpoint);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PUBLISH_INSPECT_H_
