// What a plan's tensors are made of, read as a merge reads it, outside of a merge.
#ifndef MERGANSER_COMMON_ADAPTERS_PLANNED_READER_H_
#define MERGANSER_COMMON_ADAPTERS_PLANNED_READER_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "common/plan/plan.h"
#include "common/tensor/view.h"

namespace merganser {

class PlannedReader {
 public:
  virtual ~PlannedReader() = default;

  // Fills `views`, one a source of `tensor` and of its type, with elements [first, first +
  // view.size), at least one. All are finite, else kDataLoss names file, tensor and element. The
  // store's errors.
  virtual absl::Status Read(const PlannedTensor& tensor, uint64_t first,
                            std::span<const TensorView> views) = 0;
  // Bytes that Read takes beside the views for `count` elements of the tensor, at most.
  virtual uint64_t ReadBytes(const PlannedTensor& tensor, uint64_t count) const = 0;

  // All entries of a block in a file of `model` (index into Plan::models). Errors as above.
  virtual absl::Status ReadBlock(uint32_t model, const StoredBlock& block,
                                 std::vector<double>& out) = 0;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_ADAPTERS_PLANNED_READER_H_
