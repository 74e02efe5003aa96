#include "common/checkpoint/scale_blocks.h"

#include <algorithm>
#include <cstddef>

#include "common/base/checked.h"

namespace merganser {
namespace {

bool Fits(const BlockSize& size, const BlockSize& sides, const BlockSize& scales) {
  return CeilDiv(sides.first, size.first) == scales.first &&
         CeilDiv(sides.second, size.second) == scales.second;
}

// Whether `shape` is the first of `values`' extents, but for the last `less`.
bool IsBeginningOf(const Shape& shape, const Shape& values, size_t less) {
  return values.size() >= less && shape.size() == values.size() - less &&
         std::equal(shape.begin(), shape.end(), values.begin());
}

}  // namespace

std::optional<BlockSize> BlocksOf(const Shape& values, const Shape& scales,
                                  const std::vector<BlockSize>& sizes, bool only_these) {
  const BlockSize sides = {values.size() < 2 ? 1 : values[values.size() - 2],
                           values.empty() ? 1 : values.back()};
  const auto [rows, cols] = sides;
  const bool grid = values.size() >= 2 && scales.size() == values.size() &&
                    std::equal(values.begin(), values.end() - 2, scales.begin());
  const BlockSize count = grid ? BlockSize(scales[scales.size() - 2], scales.back()) : BlockSize();
  if (grid) {
    const auto told = std::find_if(sizes.begin(), sizes.end(),
                                   [&](const BlockSize& size) { return Fits(size, sides, count); });
    if (told != sizes.end()) return *told;
  }
  if (only_these) return std::nullopt;
  const bool single = std::all_of(scales.begin(), scales.end(), [](uint64_t n) { return n == 1; });
  if (single) return sides;
  if (values.size() >= 2 && IsBeginningOf(scales, values, 1)) return BlockSize(1, cols);
  if (values.size() >= 3 && IsBeginningOf(scales, values, 2)) return sides;
  if (!grid) return std::nullopt;
  if (count == BlockSize(1, 1)) return sides;
  if (count == BlockSize(rows, 1)) return BlockSize(1, cols);
  if (count == BlockSize(1, cols)) return BlockSize(rows, 1);
  if (Fits(kUsualBlock, sides, count)) return kUsualBlock;
  if (count.first == 0 || count.second == 0) return std::nullopt;
  if (rows % count.first != 0 || cols % count.second != 0) return std::nullopt;
  return BlockSize(rows / count.first, cols / count.second);
}

}  // namespace merganser
