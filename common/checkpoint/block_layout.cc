#include "common/checkpoint/block_layout.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "common/base/checked.h"

namespace merganser {
namespace {

uint64_t Block(uint64_t extent) { return std::max<uint64_t>(1, extent); }

}  // namespace

uint64_t BlockLayout::ScaleOf(const BlockScales& scales, uint64_t row, uint64_t col) const {
  if (single) return 0;
  const uint64_t scale_row = row / rows * scale_rows + row % rows / Block(scales.block_rows);
  return scale_row * scale_cols + col / Block(scales.block_cols);
}

uint64_t BlockLayout::Bytes(uint64_t first, uint64_t count) const {
  return count == 0 ? 0 : FirstByte(first + count - 1) - FirstByte(first) + 1;
}

BlockLayout LayOutBlocks(const BlockScales& scales, const Shape& decoded) {
  BlockLayout out;
  if (!decoded.empty()) out.cols = decoded.back();
  if (decoded.size() >= 2) out.rows = decoded[decoded.size() - 2];
  for (size_t i = 0; i + 2 < decoded.size(); ++i) out.matrices *= decoded[i];
  if (scales.transposed) std::swap(out.rows, out.cols);
  out.scale_rows = CeilDiv(out.rows, Block(scales.block_rows));
  out.scale_cols = CeilDiv(out.cols, Block(scales.block_cols));
  out.single = scales.scales.elements == 1;
  out.bits = scales.code == BlockCode::kMxfp4 ? 4 : 8;
  return out;
}

}  // namespace merganser
