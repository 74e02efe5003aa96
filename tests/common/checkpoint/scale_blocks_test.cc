#include "common/checkpoint/scale_blocks.h"

#include <gtest/gtest.h>

namespace merganser {
namespace {

using Blocks = std::optional<BlockSize>;

Blocks Of(const Shape& values, const Shape& scales, const std::vector<BlockSize>& sizes = {},
          bool only_these = false) {
  return BlocksOf(values, scales, sizes, only_these);
}

TEST(ScaleBlocks, OneForAll) {
  for (const Shape& scales : std::vector<Shape>{{}, {1}, {1, 1}}) {
    EXPECT_EQ(Of({256, 300}, scales), Blocks({256, 300}));
  }
  EXPECT_EQ(Of({7}, {}), Blocks({1, 7}));
  EXPECT_EQ(Of({4, 8, 16}, {1}), Blocks({8, 16}));
}

TEST(ScaleBlocks, OneForEachRowColumnOrMatrix) {
  EXPECT_EQ(Of({7, 33}, {7, 1}), Blocks({1, 33}));
  EXPECT_EQ(Of({7, 33}, {7}), Blocks({1, 33}));
  EXPECT_EQ(Of({7, 33}, {1, 33}), Blocks({7, 1}));
  EXPECT_EQ(Of({3, 7, 33}, {3, 7, 1}), Blocks({1, 33}));
  EXPECT_EQ(Of({3, 7, 33}, {3, 7}), Blocks({1, 33}));
  EXPECT_EQ(Of({3, 7, 33}, {3, 1, 1}), Blocks({7, 33}));
  EXPECT_EQ(Of({3, 7, 33}, {3}), Blocks({7, 33}));
  EXPECT_EQ(Of({3, 7, 33}, {3, 1, 33}), Blocks({7, 1}));
}

TEST(ScaleBlocks, BlocksMayBePartialAtTheEnds) {
  EXPECT_EQ(Of({576, 7168}, {5, 56}), Blocks({128, 128}));
  EXPECT_EQ(Of({129, 130}, {2, 2}), Blocks({128, 128}));
  // Two blocks of 128 rows and the rest, not two of 96.
  EXPECT_EQ(Of({192, 128}, {2, 1}), Blocks({128, 128}));
  EXPECT_EQ(Of({3, 129, 130}, {3, 2, 2}), Blocks({128, 128}));
}

TEST(ScaleBlocks, SidesAreDividedEvenlyWhereNothingElseFits) {
  EXPECT_EQ(Of({256, 256}, {4, 8}), Blocks({64, 32}));
  EXPECT_EQ(Of({8, 64}, {8, 2}), Blocks({1, 32}));
}

TEST(ScaleBlocks, WhatTheConfigTells) {
  const std::vector<BlockSize> sizes = {{1, 32}, {64, 64}};
  EXPECT_EQ(Of({130, 64}, {130, 2}, sizes, true), Blocks({1, 32}));
  EXPECT_EQ(Of({130, 64}, {3, 1}, sizes, true), Blocks({64, 64}));
  EXPECT_EQ(Of({130, 64}, {2, 1}, sizes, true), std::nullopt);
  EXPECT_EQ(Of({130, 64}, {}, sizes, true), std::nullopt);
  EXPECT_EQ(Of({130, 64}, {2, 1}, sizes), Blocks({128, 128}));
}

TEST(ScaleBlocks, WhatFitsNothing) {
  EXPECT_EQ(Of({129, 130}, {2, 3}), std::nullopt);
  EXPECT_EQ(Of({129, 130}, {3, 3}), std::nullopt);
  EXPECT_EQ(Of({129, 130}, {130}), std::nullopt);
  EXPECT_EQ(Of({129, 130}, {2, 2, 1}), std::nullopt);
  EXPECT_EQ(Of({129, 130}, {0}), std::nullopt);
  EXPECT_EQ(Of({129, 130}, {0, 0}), std::nullopt);
  EXPECT_EQ(Of({3, 129, 130}, {2, 2, 2}), std::nullopt);
  EXPECT_EQ(Of({3, 129, 130}, {129, 1}), std::nullopt);
}

}  // namespace
}  // namespace merganser
