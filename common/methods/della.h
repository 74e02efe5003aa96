// DELLA (arXiv 2406.11617): random elements of every task vector, the more likely the
// larger they are within their row, with or without sign consensus. Parameters and
// defaults are mergekit's, but for `seed` (see dare.h). Ranks are exact in every dtype.
#ifndef MERGANSER_COMMON_METHODS_DELLA_H_
#define MERGANSER_COMMON_METHODS_DELLA_H_

#include <cstdint>
#include <span>
#include <vector>

#include "common/methods/method_info.h"

namespace merganser {

MethodInfo DellaMethod();
MethodInfo DellaLinearMethod();

// ranks[e]: the rank of keys[e], ascending by (key, index) from 0. At most 2^32 - 1
// keys. `scratch` is resized to twice as many.
void RankRow(std::span<const uint32_t> keys, std::vector<uint64_t>& scratch,
             std::span<uint32_t> ranks);

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_DELLA_H_
