// Models that share whole parts with the reference and no more: what `allow_partial` is about.
// Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_PARTIAL_MODELS_H_
#define MERGANSER_COMMON_CHECKPOINT_PARTIAL_MODELS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/checkpoint/alignment.h"
#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/missing_tensors.h"

namespace merganser {

// As CompareKinds, where models that are not of one kind may share parts: with `allow_partial`
// those that share the layers of a tower are a warning; without it the error says what they
// share, and what would merge them.
absl::StatusOr<std::string> CheckKinds(const Checkpoint& model, const Checkpoint& reference,
                                       bool allow_partial);

// Takes back refusals of `judged` that are of whole parts (ModelParts), with `allow_partial`;
// what stays refused says why. Without it: model by model, where all of its refusals are such,
// what to say instead of them. `wanted`: one a tensor of the alignment, which of the
// reference's it is.
std::map<uint32_t, std::string> SettleParts(const std::vector<const Checkpoint*>& models,
                                            const AlignOptions& options,
                                            const std::vector<AlignedTensor>& tensors,
                                            const std::vector<uint32_t>& wanted,
                                            const std::vector<MissingTensor>& missing,
                                            std::vector<JudgedTensor>& judged);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_PARTIAL_MODELS_H_
