// Where the values and the scales of a block-scaled tensor lie: the one place that knows how
// BlockScales counts.
#ifndef MERGANSER_COMMON_CHECKPOINT_BLOCK_LAYOUT_H_
#define MERGANSER_COMMON_CHECKPOINT_BLOCK_LAYOUT_H_

#include <cstdint>

#include "common/checkpoint/tensor_origin.h"
#include "common/tensor/view.h"

namespace merganser {

// Matrices as the file has them: those of a transposed tensor have the decoded one's columns as
// rows. Rows are counted through all matrices, and so are rows of scales.
struct BlockLayout {
  uint64_t matrices = 1;
  uint64_t rows = 1;  // a matrix
  uint64_t cols = 1;
  uint64_t block_rows = 1;
  uint64_t block_cols = 1;
  uint64_t scale_rows = 1;  // a matrix
  uint64_t scale_cols = 1;
  // One scale for all of the tensor, however many matrices it has.
  bool single = false;
  uint64_t bits = 8;  // a value

  uint64_t ScaleRow(uint64_t row) const {
    return single ? 0 : row / rows * scale_rows + row % rows / block_rows;
  }
  uint64_t ScaleOf(uint64_t row, uint64_t col) const {
    return single ? 0 : ScaleRow(row) * scale_cols + col / block_cols;
  }
  uint64_t Scales() const { return single ? 1 : matrices * scale_rows * scale_cols; }

  // The bytes that hold values [first, first + count): the first of them, and how many.
  uint64_t FirstByte(uint64_t first) const { return first / (8 / bits); }
  uint64_t Bytes(uint64_t first, uint64_t count) const {
    return count == 0 ? 0 : FirstByte(first + count - 1) - FirstByte(first) + 1;
  }
};

// `decoded` is the tensor's shape. Blocks of no rows or columns count as of one.
BlockLayout LayOutBlocks(const BlockScales& scales, const Shape& decoded);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_BLOCK_LAYOUT_H_
