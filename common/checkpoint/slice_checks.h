// Whether models have what slices ask for. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_SLICE_CHECKS_H_
#define MERGANSER_COMMON_CHECKPOINT_SLICE_CHECKS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/layers.h"

namespace merganser {

// Slices are of models with one stack of layers, which has the layers that they ask
// for, and nothing behind them; else kInvalidArgument.
absl::Status CheckStacks(const std::vector<const Checkpoint*>& models,
                         const std::vector<LayerSlice>& slices);

// Marks as used what `slices` did not ask of `model`, their model `index`, though the output has
// its like: it is no extra.
void MarkUnasked(const Checkpoint& model, uint32_t index, const std::vector<LayerSlice>& slices,
                 const Checkpoint& reference, std::vector<bool>& used);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_SLICE_CHECKS_H_
