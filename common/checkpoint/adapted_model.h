// A model and adapters on it, as one checkpoint whose tensors say what is added to them.
#ifndef MERGANSER_COMMON_CHECKPOINT_ADAPTED_MODEL_H_
#define MERGANSER_COMMON_CHECKPOINT_ADAPTED_MODEL_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/checkpoint/adapter.h"
#include "common/checkpoint/checkpoint.h"

namespace merganser {

// `base` with the adapters' deltas added, in their order: tensors that they change have `update`,
// those that they bring whole (modules_to_save, biases) lie in their files, which follow behind the
// base's shards. All adapters round to one type (Adapter::rounded_to). Config, small files, names
// and order are the base's. `notes` and `adapters` say what was found, `warnings` what may be meant
// otherwise.
//
// kInvalidArgument, with the adapter's name, key, shapes and what was expected: a key that matches
// no tensor, a factor without its partner, shapes or ranks that do not fit, a target module that
// serves no tensor, two adapters that cannot be added (DoRA; one tensor brought whole twice), and
// a weight for what is not added.
absl::StatusOr<Checkpoint> AdaptedModel(const Checkpoint& base,
                                        const std::vector<Adapter>& adapters,
                                        std::string_view given);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_ADAPTED_MODEL_H_
