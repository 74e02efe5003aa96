// What reading a block-scaled source takes, for the formulas of memory and of bytes read.
#ifndef MERGANSER_COMMON_PLAN_BLOCK_SCRATCH_H_
#define MERGANSER_COMMON_PLAN_BLOCK_SCRATCH_H_

#include <cstdint>
#include <vector>

#include "common/checkpoint/block_layout.h"
#include "common/checkpoint/tensor_origin.h"
#include "common/tensor/view.h"

namespace merganser {

// Scales, and the values of a transposed tensor, are read in bands of whole rows of about that.
inline constexpr uint64_t kBlockBandBytes = uint64_t{1} << 20;

// Whole rows of `row_bytes` that are taken at once: at least one.
uint64_t RowsOfBand(uint64_t row_bytes);

// What of one matrix of a transposed tensor is wanted, and the stored rows that hold it.
struct TransposedBand {
  uint64_t matrix = 0;
  uint64_t first = 0, last = 0;  // elements of the decoded matrix, both of them wanted
  uint64_t row_begin = 0, row_end = 0;
};
// Of elements [first, first + count) of the decoded tensor, at least one; matrix by matrix.
std::vector<TransposedBand> BandsOf(const BlockLayout& layout, uint64_t first, uint64_t count);

// Bytes of memory that it takes at most, beside the place of the decoded elements, to read elements
// [first, first + count) of a tensor of shape `decoded`.
uint64_t BlockScratchBytes(const BlockScales& scales, const Shape& decoded, uint64_t first,
                           uint64_t count);

// Bytes that are read from files for it. Of a transposed tensor the whole rows in which the
// elements lie: more than they are, where they are not all of a matrix.
struct BlockReads {
  uint64_t values = 0;
  uint64_t scales = 0;
};
BlockReads ReadsOfBlocks(const BlockScales& scales, const Shape& decoded, uint64_t first,
                         uint64_t count);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PLAN_BLOCK_SCRATCH_H_
