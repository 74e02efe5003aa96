// Reads what tensors hold, as far as that decides how they are merged. Private to this
// folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_STORED_BYTES_H_
#define MERGANSER_COMMON_CHECKPOINT_STORED_BYTES_H_

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"

namespace merganser {

struct StoredTensor {
  const Checkpoint* model = nullptr;
  const CheckpointTensor* tensor = nullptr;
};

// The first byte in which two tensors of one dtype and shape differ; nullopt where they
// do not. Reads both up to there. The store's errors begin with the model's name.
absl::StatusOr<std::optional<uint64_t>> FirstDifference(const StoredTensor& a,
                                                        const StoredTensor& b);

// Whether the first `bytes` of a tensor of F64, F32, F16 or BF16 hold NaN or an infinity.
// Errors as above.
absl::StatusOr<bool> HasNonFinite(const StoredTensor& stored, uint64_t bytes);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_STORED_BYTES_H_
