#include "common/checkpoint/block_layout.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "common/base/checked.h"

namespace merganser {

BlockLayout LayOutBlocks(const BlockScales& scales, const Shape& decoded) {
  BlockLayout out;
  if (!decoded.empty()) out.cols = decoded.back();
  if (decoded.size() >= 2) out.rows = decoded[decoded.size() - 2];
  for (size_t i = 0; i + 2 < decoded.size(); ++i) out.matrices *= decoded[i];
  if (scales.transposed) std::swap(out.rows, out.cols);
  out.single = scales.scales.elements == 1;
  out.bits = scales.code == BlockCode::kMxfp4 ? 4 : 8;
  out.block_rows = std::max<uint64_t>(1, out.single ? out.rows : scales.block_rows);
  out.block_cols = std::max<uint64_t>(1, out.single ? out.cols : scales.block_cols);
  out.scale_rows = CeilDiv(out.rows, out.block_rows);
  out.scale_cols = CeilDiv(out.cols, out.block_cols);
  return out;
}

}  // namespace merganser
