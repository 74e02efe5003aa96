// Whether models are of one kind, by their config.json. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_CONFIG_CHECKS_H_
#define MERGANSER_COMMON_CHECKPOINT_CONFIG_CHECKS_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"

namespace merganser {

// kInvalidArgument where `model_type` or the first of `architectures` differ. A warning
// where the latter does only in spelling, or in what a wrapper made of it
// (FSDPLlamaForCausalLM, OptimizedModule): whether the models fit is for their tensors
// to say. Else empty.
absl::StatusOr<std::string> CompareKinds(const Checkpoint& model, const Checkpoint& reference);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_CONFIG_CHECKS_H_
