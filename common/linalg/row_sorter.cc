#include "common/linalg/row_sorter.h"

#include <cstddef>

#include "hwy/contrib/sort/vqsort.h"

namespace merganser::linalg {

struct RowSorter::Scratch {
  hwy::Sorter sorter;
};

RowSorter::RowSorter() : scratch_(std::make_unique<Scratch>()) {}
RowSorter::~RowSorter() = default;

std::span<const uint64_t> RowSorter::Sort(std::span<const uint32_t> keys) {
  pairs_.resize(keys.size());
  for (size_t e = 0; e < keys.size(); ++e) pairs_[e] = uint64_t{keys[e]} << 32 | e;
  // No two pairs are equal: whichever way it sorts, the result is the same.
  scratch_->sorter(pairs_.data(), pairs_.size(), hwy::SortAscending());
  return pairs_;
}

}  // namespace merganser::linalg
