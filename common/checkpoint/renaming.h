// Recognises a model whose tensors are another's under a known prefix. Private
// to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_RENAMING_H_
#define MERGANSER_COMMON_CHECKPOINT_RENAMING_H_

#include <optional>
#include <string>
#include <vector>

#include "common/checkpoint/checkpoint.h"

namespace merganser {

// `missing` are names of the reference that `model` does not have. When a known
// change of prefix explains at least half of them, says which and what to do;
// else nullopt.
std::optional<std::string> ExplainRenaming(const std::vector<std::string>& missing,
                                           const Checkpoint& reference, const Checkpoint& model);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_RENAMING_H_
