// Tensors of an opened checkpoint, read and held against each other outside of a merge.
#ifndef MERGANSER_COMMON_ADAPTERS_TENSOR_BYTES_H_
#define MERGANSER_COMMON_ADAPTERS_TENSOR_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/executor.h"
#include "common/checkpoint/checkpoint.h"

namespace merganser {

// "/models/a/model.safetensors: tensor 'a.weight'".
std::string DescribeTensor(const Checkpoint& model, const CheckpointTensor& tensor);

// Whether its elements lie in the file as they are.
bool IsStored(const CheckpointTensor& tensor);

// Fills `out` with the bytes of the tensor from `offset`, several pieces at a time. The store's
// errors, the first of them by place; they name the tensor.
absl::Status ReadTensorBytes(const Checkpoint& model, const CheckpointTensor& tensor,
                             uint64_t offset, std::span<std::byte> out, Executor& executor);

// By how much two tensors differ.
struct TensorDifference {
  uint64_t elements = 0;  // that differ in value
  double squares = 0;     // the sum of the differences' squares
};

// Of two stored tensors of as many elements, of F64, F32, F16 or BF16. Holds 16 MiB of each at
// most. Where a difference is NaN the sum is. Does not depend on `executor`. Errors as above.
absl::StatusOr<TensorDifference> CompareStored(const Checkpoint& base,
                                               const CheckpointTensor& before,
                                               const Checkpoint& model,
                                               const CheckpointTensor& after, Executor& executor);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ADAPTERS_TENSOR_BYTES_H_
