// Floats as values of few bits with a scale a block (FP8, MXFP4): what block_decode.h reads back.
// The rules are those of common/format/FORMAT.md, "Quantised outputs". In an order that hangs on
// the blocks alone: the same bytes on every CPU, however a tensor is cut.
#ifndef MERGANSER_COMMON_LINALG_BLOCK_ENCODE_H_
#define MERGANSER_COMMON_LINALG_BLOCK_ENCODE_H_

#include <cstddef>
#include <cstdint>

#include "common/tensor/dtype.h"

namespace merganser {

// How a tensor's blocks are written.
struct BlockForm {
  DType coded = DType::kF8E4M3;  // F8_E4M3, F8_E5M2, or F4: pairs, the lower half of a byte first
  DType scale = DType::kF32;     // F32, BF16, F16 or F8_E8M0
  DType decoded = DType::kBF16;  // what the original's values become where they are read
  bool powers_of_two = false;    // scales of FP8
};

// Rows of blocks of one matrix, as the file has them. Value (r, c) is at values[r * row_stride + c
// * col_stride]; all are finite.
struct BlockBand {
  uint64_t rows = 0;
  uint64_t cols = 0;
  uint64_t block_rows = 1;  // the last block of either side may be partial
  uint64_t block_cols = 1;
  const float* values = nullptr;
  uint64_t row_stride = 0;
  uint64_t col_stride = 1;
  // The original's codes and scales of these rows: a block whose values are what they decode to,
  // bit for bit, keeps them.
  const std::byte* original_codes = nullptr;
  const std::byte* original_scales = nullptr;
  // Out: rows of cols values, and ceil(rows / block_rows) rows of ceil(cols / block_cols) scales.
  std::byte* codes = nullptr;
  std::byte* scales = nullptr;
};

// What rounding did.
struct BlockRounding {
  double error =
      0;  // sum of squared differences between values and what codes and scales stand for
  double energy = 0;  // sum of squares of the values
  uint64_t blocks = 0;
  uint64_t kept = 0;  // blocks that are the original's

  void Add(const BlockRounding& other);
};

// Writes codes and scales of the band. Rows of pairs have an even number of columns.
BlockRounding EncodeBlocks(const BlockForm& form, const BlockBand& band);

}  // namespace merganser

#endif  // MERGANSER_COMMON_LINALG_BLOCK_ENCODE_H_
