// How a tensor's elements come from what files hold, where they do not lie there as they are:
// products of low rank that an adapter adds, and values with a scale a block. Plain data; decoded
// by the worker, where it reads.
#ifndef MERGANSER_COMMON_CHECKPOINT_TENSOR_ORIGIN_H_
#define MERGANSER_COMMON_CHECKPOINT_TENSOR_ORIGIN_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "common/tensor/dtype.h"

namespace merganser {

// Elements in a shard of a checkpoint, one behind the other.
struct StoredBlock {
  uint32_t shard = 0;   // index into the checkpoint's shards
  uint64_t offset = 0;  // bytes from the start of the shard's file
  DType dtype = DType::kF32;
  uint64_t elements = 0;
};

// One side of a product of low rank. Entry k of row (or column) i of matrix m is element
// m * matrix_stride + i * stride + k * rank_stride of the block.
struct LowRankFactor {
  StoredBlock block;
  uint64_t matrix_stride = 0;
  uint64_t stride = 0;
  uint64_t rank_stride = 0;
};

// What is added to element (m, i, j) of a tensor of matrices [rows, cols]: scale * sum over k,
// ascending, of rows(m, i, k) * columns(m, j, k). A tensor of one dimension has one column; of
// more than two, either one matrix of all but the first dimension (convolutions) or, `matrices`
// above 1, as many matrices of the last two.
struct LowRankTerm {
  LowRankFactor row_factor;
  std::optional<LowRankFactor> column_factor;  // none: ones
  uint64_t rank = 0;
  uint64_t matrices = 1;
  double scale = 1;
};

// DoRA (arXiv 2402.09353): the sum of weight and product, each row (or each column) scaled to the
// length that `magnitude` has for it. PEFT takes the lengths as they are, without their gradient.
struct Magnitudes {
  StoredBlock magnitude;
  bool of_columns = false;
};

struct LowRankUpdate {
  std::vector<LowRankTerm> terms;  // of one or several adapters, added in this order
  std::optional<Magnitudes> magnitudes;
  // F16 or BF16: each term is rounded to it before it is added, as PEFT does on a CPU with adapters
  // of 16 bits (AddRoundedProducts). None: the sum is rounded once.
  std::optional<DType> rounded_to = {};
};

enum class BlockCode : uint8_t {
  // Values of 8 bits (F8_E4M3, F8_E5M2), each times the scale of its block.
  kScaled,
  // Pairs of 4 bit e2m1, the lower first, in blocks of 32 along the last dimension, times two to
  // the power of the block's scale (OCP Microscaling Formats v1.0).
  kMxfp4,
};

// Values with a scale a block of rows and columns of the last two dimensions. Scales lie in rows
// of ceil(cols / block_cols), ceil(rows / block_rows) rows a matrix.
struct BlockScales {
  BlockCode code = BlockCode::kScaled;
  StoredBlock scales;
  uint64_t block_rows = 0;
  uint64_t block_cols = 0;
  // Stored [.., cols, rows] of what the tensor is taken for (gpt-oss's blocks).
  bool transposed = false;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_TENSOR_ORIGIN_H_
