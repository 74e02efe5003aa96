#include "common/methods/leaf_lines.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace merganser {
namespace {

// Columns that are gathered at a time: of 16-bit elements half a cache line a row.
constexpr uint64_t kPanel = 16;
constexpr uint64_t kWidest = 8;  // bytes of an element

// Calls `copy(in the matrix, in the panel)`, in bytes, for every element of `count` columns from
// `first` on.
template <typename Copy>
void ForPanel(uint64_t rows, uint64_t cols, uint64_t first, uint64_t count, size_t width,
              Copy copy) {
  for (uint64_t row = 0; row < rows; ++row) {
    for (uint64_t p = 0; p < count; ++p) {
      copy((row * cols + first + p) * width, (p * rows + row) * width);
    }
  }
}

}  // namespace

LeafLines::LeafLines(const Leaf& leaf, MutableTensorView out)
    : leaf_(leaf), out_(out), by_column_(ByColumn(leaf)), length_(LineLength(leaf)) {
  if (!by_column_) return;
  panels_.resize(1 + leaf.experts.size());
  for (size_t i = 0; i < panels_.size(); ++i) {
    const TensorView& source = i == 0 ? leaf.base : leaf.experts[i - 1];
    panels_[i].resize(kPanel * length_ * BytesPerElement(source.dtype));
  }
  if (out.size > 0) written_.resize(kPanel * length_ * BytesPerElement(out.dtype));
}

uint64_t LeafLines::Bytes(uint64_t length, size_t models) {
  return kPanel * length * kWidest * (models + 1);
}

void LeafLines::Move(uint64_t line, uint64_t end) {
  line_ = line;
  if (!by_column_ || line < first_ + count_) return;
  Flush();
  first_ = line;
  count_ = std::min(kPanel, end - line);
  Gather(leaf_.base, panels_[0]);
  for (size_t i = 0; i < leaf_.experts.size(); ++i) Gather(leaf_.experts[i], panels_[i + 1]);
}

void LeafLines::Gather(const TensorView& source, std::vector<std::byte>& panel) const {
  const size_t width = BytesPerElement(source.dtype);
  const auto with = [&](auto size) {
    ForPanel(length_, static_cast<uint64_t>(leaf_.cols), first_, count_, size,
             [&](uint64_t in_matrix, uint64_t in_panel) {
               std::memcpy(panel.data() + in_panel, source.data + in_matrix, size);
             });
  };
  // A copy of a size that the compiler knows is one instruction.
  if (width == 2) {
    with(std::integral_constant<size_t, 2>());
  } else if (width == 4) {
    with(std::integral_constant<size_t, 4>());
  } else {
    with(width);
  }
}

void LeafLines::Flush() {
  if (count_ == 0 || written_.empty()) return;
  const size_t width = BytesPerElement(out_.dtype);
  ForPanel(length_, static_cast<uint64_t>(leaf_.cols), first_, count_, width,
           [&](uint64_t in_matrix, uint64_t in_panel) {
             std::memcpy(out_.data + in_matrix, written_.data() + in_panel, width);
           });
  count_ = 0;
}

TensorView LeafLines::Of(const TensorView& source, size_t panel) const {
  if (!by_column_) return source.Slice(line_ * length_, length_);
  const TensorView lines{panels_[panel].data(), source.dtype, kPanel * length_};
  return lines.Slice((line_ - first_) * length_, length_);
}

MutableTensorView LeafLines::out() {
  if (!by_column_) return out_.Slice(line_ * length_, length_);
  const MutableTensorView lines{written_.data(), out_.dtype, kPanel * length_};
  return lines.Slice((line_ - first_) * length_, length_);
}

uint64_t LeafLines::ElementOf(uint64_t line, uint64_t at) const {
  return by_column_ ? at * static_cast<uint64_t>(leaf_.cols) + line : line * length_ + at;
}

}  // namespace merganser
