// Models whose tensors have other names than the reference's, taken under its names: what
// `rename: auto` does.
#ifndef MERGANSER_COMMON_CHECKPOINT_RENAMED_MODEL_H_
#define MERGANSER_COMMON_CHECKPOINT_RENAMED_MODEL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"

namespace merganser {

// Replaces each model whose names do not fit those of models[reference] by one whose tensors
// are called as there, where one renaming alone fits: a prefix, a wrapper, renamed components
// (rename_search.h), and packed experts, of which each becomes a run of rows of the stored
// tensor. Its files are the same, and `stored` says what they call a tensor. Names that no
// renaming fits stay, for AlignModels to judge.
//
// What was done, a line for each kind of renaming, which names models, tensors and an example.
// kInvalidArgument where two renamings fit, two names land on one, or packed experts cannot be
// taken apart.
absl::StatusOr<std::vector<std::string>> RenameModels(
    std::vector<std::shared_ptr<const Checkpoint>>& models, uint32_t reference);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_RENAMED_MODEL_H_
