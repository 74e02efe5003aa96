// One tensor of a plan, merged by its method in this thread, a leaf at a time.
#ifndef MERGANSER_COMMON_ADAPTERS_TENSOR_MERGE_H_
#define MERGANSER_COMMON_ADAPTERS_TENSOR_MERGE_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "common/adapters/planned_reader.h"
#include "common/base/executor.h"
#include "common/methods/merge_method.h"
#include "common/plan/plan.h"
#include "common/tensor/view.h"

namespace merganser {

// Where elements [first, first + count) of the output go: as many, of any float type.
using LeafPlace = std::function<MutableTensorView(uint64_t first, uint64_t count)>;
// Called with each of them when it is filled, in order.
using LeafDone = std::function<absl::Status(const MutableTensorView& leaf)>;

// All leaves that share a gate must be the tensor's own. Where the method reads a base and the
// tensor has no source for it, the base is zero: of task vectors the output is then what the method
// adds to a base, without any having been added. Errors of the method and the reader, which name
// the tensor; kCancelled when `executor` was.
absl::Status MergeTensor(const MergeMethod& method, const PlannedTensor& tensor,
                         PlannedReader& reader, Executor& executor, const LeafPlace& place,
                         const LeafDone& done);

// Bytes that it takes beside the output, at most.
uint64_t MergeTensorBytes(const PlannedTensor& tensor, const PlannedReader& reader);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ADAPTERS_TENSOR_MERGE_H_
