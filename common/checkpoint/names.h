// What tensors' names tell beside their layers.
#ifndef MERGANSER_COMMON_CHECKPOINT_NAMES_H_
#define MERGANSER_COMMON_CHECKPOINT_NAMES_H_

#include <string>
#include <string_view>

#include "common/tensor/view.h"

namespace merganser {

// `name` is `last` or ends in ".last".
bool EndsInComponent(std::string_view name, std::string_view last);

// "model.layers.12.x" -> "model.layers.*.x".
std::string Pattern(std::string_view name);

// A buffer that transformers computes when it loads the model: rotary
// frequencies, position ids, causal masks.
bool IsComputedBuffer(std::string_view name, const Shape& shape);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_NAMES_H_
