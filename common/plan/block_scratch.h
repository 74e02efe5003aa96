// What reading a block-scaled source takes, for the formulas of memory and of bytes read.
#ifndef MERGANSER_COMMON_PLAN_BLOCK_SCRATCH_H_
#define MERGANSER_COMMON_PLAN_BLOCK_SCRATCH_H_

#include <cstdint>

#include "common/checkpoint/tensor_origin.h"
#include "common/tensor/view.h"

namespace merganser {

// Scales, and the values of a transposed tensor, are read in bands of whole rows of about that.
inline constexpr uint64_t kBlockBandBytes = uint64_t{1} << 20;

// Whole rows of `row_bytes` that are taken at once: at least one.
uint64_t RowsOfBand(uint64_t row_bytes);

// Bytes of memory that it takes at most, beside the place of the decoded elements, to read elements
// [first, first + count) of a tensor of shape `decoded`.
uint64_t BlockScratchBytes(const BlockScales& scales, const Shape& decoded, uint64_t first,
                           uint64_t count);

// Bytes that are read from files for it, values and scales. Of a transposed tensor the whole rows
// in which the elements lie: more than they are, where they are not all of a matrix.
uint64_t BlockReadBytes(const BlockScales& scales, const Shape& decoded, uint64_t first,
                        uint64_t count);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PLAN_BLOCK_SCRATCH_H_
