// Why an adapter's key may have no tensor in its base. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_ADAPTER_HINTS_H_
#define MERGANSER_COMMON_CHECKPOINT_ADAPTER_HINTS_H_

#include <string>
#include <string_view>

#include "common/checkpoint/checkpoint.h"

namespace merganser {

// To be put behind "matches no tensor": what is there instead, and what to do.
std::string WhyNoTensor(const Checkpoint& base, std::string_view name);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_ADAPTER_HINTS_H_
