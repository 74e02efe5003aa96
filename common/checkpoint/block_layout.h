// Where the values and the scales of a block-scaled tensor lie: the one place that knows how
// BlockScales counts.
#ifndef MERGANSER_COMMON_CHECKPOINT_BLOCK_LAYOUT_H_
#define MERGANSER_COMMON_CHECKPOINT_BLOCK_LAYOUT_H_

#include <cstdint>

#include "common/checkpoint/tensor_origin.h"
#include "common/tensor/view.h"

namespace merganser {

// Matrices as the file has them: those of a transposed tensor have the decoded one's columns as
// rows.
struct BlockLayout {
  uint64_t matrices = 1;
  uint64_t rows = 1;  // a matrix
  uint64_t cols = 1;
  uint64_t scale_rows = 1;  // a matrix
  uint64_t scale_cols = 1;
  // One scale for all of the tensor, however many matrices it has.
  bool single = false;
  uint64_t bits = 8;  // a value

  // Of the scale of row `row` (counted through all matrices), column `col`.
  uint64_t ScaleOf(const BlockScales& scales, uint64_t row, uint64_t col) const;
  // Bytes that hold elements [first, first + count) of what is stored: the first of them, and how
  // many.
  uint64_t FirstByte(uint64_t first) const { return first * bits / 8; }
  uint64_t Bytes(uint64_t first, uint64_t count) const;
  uint64_t Scales() const { return single ? 1 : matrices * scale_rows * scale_cols; }
};

// `decoded` is the tensor's shape. Blocks of no rows or columns count as of one.
BlockLayout LayOutBlocks(const BlockScales& scales, const Shape& decoded);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_BLOCK_LAYOUT_H_
