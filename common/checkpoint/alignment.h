// Holds base and experts against each other from their headers alone, before
// any tensor data is read.
#ifndef MERGANSER_COMMON_CHECKPOINT_ALIGNMENT_H_
#define MERGANSER_COMMON_CHECKPOINT_ALIGNMENT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/layers.h"

namespace merganser {

// Where one model keeps one tensor.
struct TensorSource {
  uint32_t model = 0;   // index into the models given to AlignModels
  uint32_t tensor = 0;  // index into that checkpoint's tensors
  // What the output's tensor is called there, were it not for tied heads.
  std::string name;
};

struct AlignedTensor {
  std::string name;  // in the output
  Shape shape;
  DType dtype = DType::kF32;  // the reference's own
  // Integers and bool: to be found equal while running, and copied.
  bool copied = false;
  // Filled from another tensor of its model because heads are tied
  // (lm_head.weight <- embed_tokens.weight).
  bool tied = false;
  std::vector<TensorSource> sources;  // one a source of its slice, in their order
  uint32_t slice = 0;
  // Its layer within the slice; none outside of layers. Of whole models: within
  // its stack of layers.
  std::optional<uint64_t> layer;
  uint64_t layers = 0;  // of the slice or stack
};

struct Alignment {
  // In the reference's order; of slices: those before the layers, layer by layer,
  // those behind.
  std::vector<AlignedTensor> tensors;
  std::vector<std::string> warnings;  // dropped extra tensors, one line each, grouped by pattern
};

// `models[reference]` gives names, order and dtypes (the base, or the first model
// where a method has none). The rules are those of the recipe documentation:
// missing tensors, other shapes, prefix renamings, tied heads, quantised and
// integer tensors. A model that does not fit is kInvalidArgument, and the
// message names model, file, tensor, what was found and what was expected; the
// first three differences are named, the rest counted.
//
// With `slices` the output's layers are those of the slices, numbered anew; each
// slice's first source gives their names and dtypes. Tensors before the layers
// come from the first slice's models, those behind them from the last's. Models
// must have one stack of layers each, with those that the slices ask for.
absl::StatusOr<Alignment> AlignModels(const std::vector<const Checkpoint*>& models,
                                      const std::vector<LayerSlice>& slices = {},
                                      uint32_t reference = 0);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_ALIGNMENT_H_
