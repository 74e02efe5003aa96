// What a folder holds that has no weights to merge, and what to do with it. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_TRAINING_FOLDERS_H_
#define MERGANSER_COMMON_CHECKPOINT_TRAINING_FOLDERS_H_

#include "absl/status/status.h"
#include "common/storage/object_store.h"

namespace merganser {

// Why a folder with the entries of `top` (a flat listing of the store's root) holds no weights to
// merge. kInvalidArgument: what trainers leave (verl, DeepSpeed, FSDP and other distributed
// checkpoints, Megatron, folders of checkpoints), a repository of the hub's cache, an adapter, or
// weights in other formats (pickle, GGUF, TensorFlow, ...), each with what converts it or which
// folder to name instead. kNotFound: nothing of that. Below the folder it looks for a few names and
// lists a few folders, one level each, never all.
absl::Status ExplainNoWeights(ObjectStore& store, const Listing& top);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_TRAINING_FOLDERS_H_
