// Experts that one model stores as a tensor each and another packed into one, as transformers
// has done since its fifth version. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_PACKED_EXPERTS_H_
#define MERGANSER_COMMON_CHECKPOINT_PACKED_EXPERTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/name_patterns.h"

namespace merganser {

// Patterns that no name fits, and what they are called when all that was found of a renaming is
// done; of the reference these are their own.
struct UnmatchedPattern {
  std::string text;
  const NamePattern* pattern = nullptr;
};

// A tensor of the model and the tensors of the reference that lie in it, each in one run of
// bytes: named as there, with file and offset here.
struct PackedTensor {
  uint32_t tensor = 0;
  std::vector<CheckpointTensor> pieces;
};

struct PackedExperts {
  std::vector<PackedTensor> tensors;
  // Why such experts cannot be taken apart: names both sides. Empty: they can, or there are
  // none.
  std::string refusal;
};

// Looks for [experts, rows, columns] in `model` under the name that the reference's tensors of
// [rows, columns] have less the expert's number; gate and up may be one above the other, as
// their name says. Transposed ones, those whose shape does not tell whether they are, and
// experts that the reference alone has packed are refused.
PackedExperts FindPackedExperts(const Checkpoint& reference,
                                const std::vector<UnmatchedPattern>& theirs,
                                const Checkpoint& model, const std::vector<UnmatchedPattern>& mine);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_PACKED_EXPERTS_H_
