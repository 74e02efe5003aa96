// Typed spans over bytes that somebody else owns.
#ifndef MERGANSER_COMMON_TENSOR_VIEW_H_
#define MERGANSER_COMMON_TENSOR_VIEW_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/tensor/dtype.h"

namespace merganser {

using Shape = std::vector<uint64_t>;

// `size` elements of `dtype`, contiguous, little-endian. No alignment is
// promised: safetensors data may start at any byte.
struct TensorView {
  const std::byte* data = nullptr;
  DType dtype = DType::kF32;
  uint64_t size = 0;
  // The elements are those of a task vector: nothing is to be subtracted from them.
  bool delta = false;

  bool empty() const { return size == 0; }
  uint64_t bytes() const { return size * BytesPerElement(dtype); }
  // Elements [begin, begin + count).
  TensorView Slice(uint64_t begin, uint64_t count) const {
    return {data + begin * BytesPerElement(dtype), dtype, count, delta};
  }
};

struct MutableTensorView {
  std::byte* data = nullptr;
  DType dtype = DType::kF32;
  uint64_t size = 0;

  uint64_t bytes() const { return size * BytesPerElement(dtype); }
  MutableTensorView Slice(uint64_t begin, uint64_t count) const {
    return {data + begin * BytesPerElement(dtype), dtype, count};
  }
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_TENSOR_VIEW_H_
