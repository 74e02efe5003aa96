// The rows of a leaf that is a whole matrix: those that are stored, or its columns, which are the
// outputs' where a matrix is stored [in, out]. Methods that take rows for distributions walk over
// the leaf with it and need not know which.
#ifndef MERGANSER_COMMON_METHODS_LEAF_LINES_H_
#define MERGANSER_COMMON_METHODS_LEAF_LINES_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/methods/merge_method.h"
#include "common/tensor/view.h"

namespace merganser {

// TensorNeeds::mode of tensors whose columns are taken for rows. It travels with the needs.
inline constexpr std::string_view kByColumn = "by column";

inline bool ByColumn(const Leaf& leaf) { return leaf.needs->mode == kByColumn; }

// How many there are, and how many elements each has.
inline uint64_t LineCount(const Leaf& leaf) {
  return static_cast<uint64_t>(ByColumn(leaf) ? leaf.cols : leaf.rows);
}
inline uint64_t LineLength(const Leaf& leaf) {
  return static_cast<uint64_t>(ByColumn(leaf) ? leaf.rows : leaf.cols);
}

// Not thread-safe; several may walk over different lines of one leaf and output.
class LeafLines {
 public:
  // `out`, where it is given, has the leaf's elements.
  explicit LeafLines(const Leaf& leaf, MutableTensorView out = {});

  // What one takes by columns, of lines of `length` elements of `models` models, output included.
  static uint64_t Bytes(uint64_t length, size_t models);

  // Makes `line` the one that the views are of, until the next call. Lines come in ascending
  // order, one after the other; `end` is behind the last.
  void Move(uint64_t line, uint64_t end);
  TensorView base() const { return Of(leaf_.base, 0); }
  TensorView expert(size_t i) const { return Of(leaf_.experts[i], i + 1); }
  // To be filled; what is filled may lie apart until Flush.
  MutableTensorView out();
  // To be called behind the last line.
  void Flush();

  // Where element `at` of the line lies in the leaf.
  uint64_t ElementOf(uint64_t line, uint64_t at) const;

 private:
  TensorView Of(const TensorView& source, size_t panel) const;
  void Gather(const TensorView& source, std::vector<std::byte>& panel) const;

  const Leaf& leaf_;
  const MutableTensorView out_;
  const bool by_column_;
  const uint64_t length_;
  uint64_t line_ = 0;
  // By columns: lines [first_, first_ + count_) of base and experts, one after the other, and the
  // output's.
  uint64_t first_ = 0, count_ = 0;
  std::vector<std::vector<std::byte>> panels_;
  std::vector<std::byte> written_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_LEAF_LINES_H_
