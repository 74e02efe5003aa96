// Where the sources of an aligned tensor have the rows of the output's tokens. Private to this
// folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_PLACE_ROWS_H_
#define MERGANSER_COMMON_CHECKPOINT_PLACE_ROWS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/checkpoint/alignment.h"
#include "common/checkpoint/checkpoint.h"

namespace merganser {

// The tensor of a model that stands for a name of the output; null where it has none.
using FindTensor =
    std::function<const CheckpointTensor*(const Checkpoint& model, const std::string& name)>;

// Sets TensorSource::rows of `aligned`, one side of which counts tokens, where `options.rows` says
// that they lie elsewhere than as they are stored. What cannot be: a line that names model and
// tensor; else empty.
std::string PlaceRows(const std::vector<const Checkpoint*>& models, const AlignOptions& options,
                      const FindTensor& find, AlignedTensor& aligned);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_PLACE_ROWS_H_
