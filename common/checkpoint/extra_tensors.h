// Tensors of a model that the output has no place for. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_EXTRA_TENSORS_H_
#define MERGANSER_COMMON_CHECKPOINT_EXTRA_TENSORS_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/checkpoint/checkpoint.h"

namespace merganser {

class ExtraTensors {
 public:
  // `used`: one a tensor of `model`, which must outlive this.
  ExtraTensors(const Checkpoint& model, const std::vector<bool>& used);

  // One that may be what `name` stands for, a tensor of `shape` that the model lacks: it
  // ends alike and is of that shape, or lies in the same stack of layers. Empty: none.
  std::string Like(std::string_view name, const Shape& shape) const;

  // A line for each kind of them, as dropped; `partial`, where many are expected: one line.
  std::vector<std::string> Describe(const Checkpoint& reference, bool partial = false) const;

 private:
  const Checkpoint& model_;
  std::vector<const CheckpointTensor*> extras_;
  std::map<std::string_view, std::vector<const CheckpointTensor*>> by_ending_;
  std::map<std::string_view, const CheckpointTensor*> by_stack_;  // the first of each
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_EXTRA_TENSORS_H_
