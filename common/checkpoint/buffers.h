// Tensors that are no parameters: integers, and what a model computes or keeps beside
// its weights. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_BUFFERS_H_
#define MERGANSER_COMMON_CHECKPOINT_BUFFERS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/checkpoint/alignment.h"
#include "common/checkpoint/checkpoint.h"

namespace merganser {

struct SettledBuffers {
  std::vector<std::string> warnings;
  std::vector<std::string> differences;  // that forbid the merge
};

// Leaves each tensor that is copied one source, and marks others that have to be. They
// are read and compared:
//
// - integers and bool must be equal, but for counters;
// - floats that loading computes are the reference's, whatever the others hold;
// - floats that are neither weights nor biases of layers, and hold NaN or infinities
//   (masks), must be equal: no method could merge them. Of larger ones than 1 MiB the
//   first 64 KiB tell whether they are such.
//
// Of what differs harmlessly a warning tells.
//
// `reference`: which source of a tensor that is. All sources are there and of one
// shape. The store's errors.
absl::StatusOr<SettledBuffers> SettleBuffers(const std::vector<const Checkpoint*>& models,
                                             size_t reference, std::vector<AlignedTensor>& tensors);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_BUFFERS_H_
