// How many rows and columns of a weight one scale is for, by the shapes of both. Private to this
// folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_SCALE_BLOCKS_H_
#define MERGANSER_COMMON_CHECKPOINT_SCALE_BLOCKS_H_

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "common/tensor/view.h"

namespace merganser {

using BlockSize = std::pair<uint64_t, uint64_t>;  // rows, columns

// DeepSeek's, where nothing says another.
inline constexpr BlockSize kUsualBlock = {128, 128};

// The blocks of `values` that `scales` has one each for, or one for all; nullopt where their shapes
// do not fit. `sizes` are those that config.json tells; with `only_these`, no other is taken.
// Blocks at the ends of rows and columns may be partial.
//
// Where no size is told: one scale for all, for each matrix ([experts] or [experts, 1, 1]), for
// each row ([rows], [rows, 1]) or column ([1, columns]); then blocks of kUsualBlock; then, as
// transformers, those that divide the sides evenly.
std::optional<BlockSize> BlocksOf(const Shape& values, const Shape& scales,
                                  const std::vector<BlockSize>& sizes, bool only_these);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_SCALE_BLOCKS_H_
