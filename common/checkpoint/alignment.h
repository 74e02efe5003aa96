// Holds base and experts against each other before they are merged, from their
// headers.
#ifndef MERGANSER_COMMON_CHECKPOINT_ALIGNMENT_H_
#define MERGANSER_COMMON_CHECKPOINT_ALIGNMENT_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/layers.h"
#include "common/checkpoint/vocabulary_rows.h"

namespace merganser {

// Rows of a source that lie elsewhere than in the tensor of its model, one behind the other.
struct SourceRows {
  struct Origin {
    uint32_t model = 0;
    uint32_t tensor = 0;  // index into that checkpoint's tensors
    uint64_t row = 0;     // the first
  };
  uint64_t rows = 0;
  std::vector<Origin> of;  // one: its rows; several: their mean; none: zeros
};

// Where one model keeps one tensor.
struct TensorSource {
  uint32_t model = 0;   // index into the models given to AlignModels
  uint32_t tensor = 0;  // index into that checkpoint's tensors
  // What the output's tensor is called there, were it not for tied heads.
  std::string name;
  // The model in whose place this is read: another than `model` where that one
  // lacks the tensor and counts as unchanged.
  uint32_t stands_for = 0;
  // Empty: the tensor as it is stored. Else all rows of the aligned tensor, in order.
  std::vector<SourceRows> rows = {};
};

struct AlignedTensor {
  std::string name;  // in the output
  Shape shape;
  DType dtype = DType::kF32;  // the reference's own
  // No method sees it: integers, bool, masks, what loading computes, and what the
  // reference alone has. It has one source and is copied bit for bit.
  bool copied = false;
  // Stands for several names of one parameter, or is filled from the tensor of
  // another name in some model (lm_head.weight <- embed_tokens.weight).
  bool tied = false;
  // Other names of the parameter, which the output leaves out.
  std::vector<std::string> aliases;
  // Whose parameters it is merged with, where not its own: it is a copy of that.
  std::string merged_as;
  std::vector<TensorSource> sources;  // one a source of its slice, in their order
  uint32_t slice = 0;
  // Its layer within the slice; none outside of layers. Of whole models: within
  // its stack of layers.
  std::optional<uint64_t> layer;
  uint64_t layers = 0;  // of the slice or stack
};

// What is known of the models beside their files.
struct AlignOptions {
  // models[reference] gives names, order and dtypes (the base, or the first model
  // where a method has none).
  uint32_t reference = 0;
  // The others were trained from it: it stands in for what they lack.
  bool is_base = false;
  // Whole models that share whole parts with the reference, and no more, are merged over these
  // (ModelParts); the rest is the reference's.
  bool allow_partial = false;
  // Whether a tensor of this name outside of layers has the same parameters in the
  // first and the last slice; none: it has.
  std::function<bool(const std::string& name)> same_at_both_ends;
  // Where tokens' rows are, unless all models have them at the same places; else null.
  const VocabularyRows* rows = nullptr;
};

struct Alignment {
  // In the reference's order; of slices: those before the layers, layer by layer,
  // those behind.
  std::vector<AlignedTensor> tensors;
  // Tied, copied and dropped tensors, one line each, grouped by pattern.
  std::vector<std::string> warnings;
  // What config.json of the output has to say, where that of the reference differs.
  std::optional<bool> tie_word_embeddings;
  // Rows of the output's embeddings, where they go by tokens.
  std::optional<uint64_t> token_rows;
};

// The rules are those of the recipe documentation: missing tensors, other shapes,
// renamings (which RenameModels carries out beforehand), tied tensors, quantised and integer
// tensors. A model that does not fit is kInvalidArgument, and the message names model, file,
// tensor, what was found and what was expected; the first three differences are named, the rest
// counted. Headers are enough but for what must be equal: copies of tied tensors within
// a model, integers and masks between models. Those are read, and the store's errors are
// this function's.
//
// With `slices` the output's layers are those of the slices, numbered anew; each
// slice's first source gives their names and dtypes. Tensors before the layers
// come from the first slice's models, those behind them from the last's. Models
// must have one stack of layers each, with those that the slices ask for.
absl::StatusOr<Alignment> AlignModels(const std::vector<const Checkpoint*>& models,
                                      const std::vector<LayerSlice>& slices = {},
                                      const AlignOptions& options = {});

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_ALIGNMENT_H_
