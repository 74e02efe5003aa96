#include "worker/block_encoding.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/base/checked.h"
#include "common/checkpoint/block_layout.h"
#include "common/plan/encoding.h"

namespace merganser {
namespace {

// Rows, as the file has them, that are encoded at a time, about.
constexpr uint64_t kRows = 16;

// Rows of blocks within one matrix: rows [row, row + rows), counted through all matrices.
struct Rows {
  uint64_t row = 0;
  uint64_t rows = 0;
};

std::vector<Rows> RowsOf(const BlockLayout& layout, uint64_t begin, uint64_t end) {
  if (layout.single) return {{begin, end - begin}};
  const uint64_t most = CeilDiv(kRows, layout.block_rows) * layout.block_rows;
  std::vector<Rows> all;
  for (uint64_t row = begin; row < end;) {
    const uint64_t rows = std::min({most, layout.rows - row % layout.rows, end - row});
    all.push_back({row, rows});
    row += rows;
  }
  return all;
}

}  // namespace

BlockRounding EncodeSegment(const PlannedTensor& tensor, const Segment& segment,
                            const SegmentData& data, Executor& executor) {
  const PlannedEncoding& encoding = *tensor.encoding;
  const BlockScales& scales = *encoding.original.scales;
  const BlockLayout layout = LayOutBlocks(scales, tensor.spec.shape);
  const BlockForm form = {*encoding.original.coded, scales.scales.dtype, encoding.original.dtype,
                          encoding.powers_of_two};
  const uint64_t first = segment.leaf_begin * tensor.leaf_elements;
  const uint64_t matrix = layout.rows * layout.cols;
  // Rows of the file: those of a transposed tensor are whole matrices'.
  const uint64_t row_begin = first / layout.cols;
  const uint64_t row_end = row_begin + data.output.size / layout.cols;
  const uint64_t row_bytes = layout.Bytes(0, layout.cols);
  const uint64_t scale_bytes = layout.scale_cols * BytesPerElement(scales.scales.dtype);
  const auto* const values = reinterpret_cast<const float*>(data.output.data);

  const std::vector<Rows> all = RowsOf(layout, row_begin, row_end);
  std::vector<BlockRounding> rounding(all.size());
  executor.ParallelFor(all.size(), [&](size_t i) {
    const Rows& at = all[i];
    BlockBand band;
    band.rows = at.rows;
    band.cols = layout.cols;
    band.block_rows = layout.single ? at.rows : layout.block_rows;
    band.block_cols = layout.block_cols;
    if (scales.transposed) {
      const uint64_t begin = at.row / layout.rows * matrix - first;
      band.values = values + begin + at.row % layout.rows;
      band.row_stride = 1;
      band.col_stride = layout.rows;
    } else {
      band.values = values + (at.row * layout.cols - first);
      band.row_stride = layout.cols;
    }
    const uint64_t code = (at.row - row_begin) * row_bytes;
    const uint64_t scale = layout.ScaleRow(at.row) * scale_bytes;
    band.original_codes = data.original.values.data() + code;
    band.original_scales = data.original.scales.data() + (scale - data.original.scales_begin);
    band.codes = data.encoded.data() + code;
    band.scales = data.scales.data() + scale;
    rounding[i] = EncodeBlocks(form, band);
  });
  BlockRounding total;
  for (const BlockRounding& part : rounding) total.Add(part);
  return total;
}

}  // namespace merganser
