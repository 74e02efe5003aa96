#include "common/linalg/row_sorter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace merganser::linalg {
namespace {

TEST(RowSorterTest, SortsByKeyThenByIndex) {
  std::mt19937_64 random(1206);
  RowSorter sorter;
  for (const size_t size : {0, 1, 2, 15, 100, 896, 1023, 1024, 5000, 70'000}) {
    for (const uint64_t distinct : {uint64_t{1}, uint64_t{3}, uint64_t{1000}, uint64_t{1} << 32}) {
      std::vector<uint32_t> keys(size);
      for (uint32_t& key : keys) {
        key = static_cast<uint32_t>(random() % distinct * (7'000'003 % distinct));
      }
      std::vector<uint64_t> expected(size);
      for (size_t e = 0; e < size; ++e) expected[e] = uint64_t{keys[e]} << 32 | e;
      std::sort(expected.begin(), expected.end());
      const auto sorted = sorter.Sort(keys);
      EXPECT_TRUE(std::equal(sorted.begin(), sorted.end(), expected.begin(), expected.end()))
          << size << " keys, " << distinct << " distinct";
    }
  }
}

TEST(RowSorterTest, SortsTheExtremes) {
  const std::vector<uint32_t> keys = {0xFFFFFFFF, 0, 0xFFFFFFFF, 1, 0};
  RowSorter sorter;
  const auto sorted = sorter.Sort(keys);
  std::vector<uint32_t> order;
  for (const uint64_t pair : sorted) order.push_back(static_cast<uint32_t>(pair));
  EXPECT_EQ(order, (std::vector<uint32_t>{1, 4, 3, 0, 2}));
}

}  // namespace
}  // namespace merganser::linalg
