// Rows sorted by key, exactly, by Highway's vectorised sort.
#ifndef MERGANSER_COMMON_LINALG_ROW_SORTER_H_
#define MERGANSER_COMMON_LINALG_ROW_SORTER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace merganser::linalg {

// Not thread-safe: one a thread, for many rows.
class RowSorter {
 public:
  RowSorter();
  ~RowSorter();

  // key << 32 | index of every key, ascending: by key, then by index. At most 2^32 - 1
  // keys. Valid until the next call.
  std::span<const uint64_t> Sort(std::span<const uint32_t> keys);

 private:
  struct Scratch;
  std::unique_ptr<Scratch> scratch_;
  std::vector<uint64_t> pairs_;
};

}  // namespace merganser::linalg

#endif  // MERGANSER_COMMON_LINALG_ROW_SORTER_H_
