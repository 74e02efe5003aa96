// Holds base and experts against each other from their headers alone, before
// any tensor data is read.
#ifndef MERGANSER_COMMON_CHECKPOINT_ALIGNMENT_H_
#define MERGANSER_COMMON_CHECKPOINT_ALIGNMENT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"

namespace merganser {

// Where one model keeps one tensor.
struct TensorSource {
  uint32_t model = 0;   // index into the models given to AlignModels
  uint32_t tensor = 0;  // index into that checkpoint's tensors
};

struct AlignedTensor {
  std::string name;  // in the reference model
  Shape shape;
  DType dtype = DType::kF32;  // the reference's own
  // Integers and bool: to be found equal while running, and copied.
  bool copied = false;
  // Filled from another tensor of its model because heads are tied
  // (lm_head.weight <- embed_tokens.weight).
  bool tied = false;
  std::vector<TensorSource> sources;  // one a model, in model order
};

struct Alignment {
  std::vector<AlignedTensor> tensors;  // in the reference's order
  std::vector<std::string> warnings;   // dropped extra tensors, one line each, grouped by pattern
};

// `models[0]` is the reference (the base, or the first model where a method has
// none); the rest are experts. The rules are those of the recipe documentation:
// missing tensors, other shapes, prefix renamings, tied heads, quantised and
// integer tensors. A model that does not fit is kInvalidArgument, and the
// message names model, file, tensor, what was found and what was expected; the
// first three differences are named, the rest counted.
absl::StatusOr<Alignment> AlignModels(const std::vector<const Checkpoint*>& models);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_ALIGNMENT_H_
