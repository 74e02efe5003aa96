#include "common/plan/block_scratch.h"

#include <algorithm>

#include "common/checkpoint/block_layout.h"

namespace merganser {
namespace {

// Stored rows, counted through all matrices: [begin, end).
struct Rows {
  uint64_t begin = 0, end = 0;
};

Rows Straight(const BlockLayout& layout, uint64_t first, uint64_t count) {
  return {first / layout.cols, (first + count - 1) / layout.cols + 1};
}

uint64_t ScaleRows(const BlockLayout& layout, const Rows& rows) {
  return layout.ScaleRow(rows.end - 1) - layout.ScaleRow(rows.begin) + 1;
}

uint64_t RowBytesOfScales(const BlockLayout& layout, const BlockScales& scales) {
  return layout.scale_cols * BytesPerElement(scales.scales.dtype);
}

}  // namespace

uint64_t RowsOfBand(uint64_t row_bytes) {
  return std::max<uint64_t>(1, kBlockBandBytes / std::max<uint64_t>(1, row_bytes));
}

std::vector<TransposedBand> BandsOf(const BlockLayout& layout, uint64_t first, uint64_t count) {
  std::vector<TransposedBand> bands;
  const uint64_t matrix = layout.rows * layout.cols;
  for (uint64_t m = first / matrix; m * matrix < first + count; ++m) {
    TransposedBand band;
    band.matrix = m;
    band.first = std::max(first, m * matrix) - m * matrix;
    band.last = std::min(first + count, (m + 1) * matrix) - m * matrix - 1;
    // Of a single column only the rows that it is of.
    const bool one = band.first / layout.rows == band.last / layout.rows;
    band.row_begin = one ? band.first % layout.rows : 0;
    band.row_end = one ? band.last % layout.rows + 1 : layout.rows;
    bands.push_back(band);
  }
  return bands;
}

uint64_t BlockScratchBytes(const BlockScales& scales, const Shape& decoded, uint64_t first,
                           uint64_t count) {
  if (count == 0) return 0;
  const BlockLayout layout = LayOutBlocks(scales, decoded);
  // As they are stored, and as float32.
  const uint64_t scale_row = RowBytesOfScales(layout, scales) + layout.scale_cols * sizeof(float);
  const auto scale_bytes = [&](const Rows& rows) {
    return std::min(ScaleRows(layout, rows), RowsOfBand(scale_row)) * scale_row;
  };
  if (!scales.transposed) return scale_bytes(Straight(layout, first, count));
  const uint64_t row = layout.Bytes(0, layout.cols);
  uint64_t most = 0;
  for (const TransposedBand& band : BandsOf(layout, first, count)) {
    const uint64_t rows = std::min(band.row_end - band.row_begin, RowsOfBand(row));
    // A band of values may begin anywhere in a row of blocks.
    const uint64_t of_scales = std::min(rows / layout.block_rows + 2, layout.scale_rows);
    most = std::max(most, rows * row + std::min(of_scales, RowsOfBand(scale_row)) * scale_row);
  }
  return most;
}

BlockReads ReadsOfBlocks(const BlockScales& scales, const Shape& decoded, uint64_t first,
                         uint64_t count) {
  if (count == 0) return {};
  const BlockLayout layout = LayOutBlocks(scales, decoded);
  const uint64_t scale_row = RowBytesOfScales(layout, scales);
  if (!scales.transposed) {
    return {layout.Bytes(first, count),
            ScaleRows(layout, Straight(layout, first, count)) * scale_row};
  }
  BlockReads reads;
  for (const TransposedBand& band : BandsOf(layout, first, count)) {
    const uint64_t above = band.matrix * layout.rows;
    reads.values += (band.row_end - band.row_begin) * layout.Bytes(0, layout.cols);
    reads.scales += ScaleRows(layout, {above + band.row_begin, above + band.row_end}) * scale_row;
  }
  return reads;
}

}  // namespace merganser
