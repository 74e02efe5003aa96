// A PEFT adapter, opened: its configuration and what its file has.
#ifndef MERGANSER_COMMON_CHECKPOINT_ADAPTER_H_
#define MERGANSER_COMMON_CHECKPOINT_ADAPTER_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/checkpoint/adapter_config.h"
#include "common/checkpoint/checkpoint.h"
#include "common/storage/object_store.h"
#include "common/storage/stores.h"

namespace merganser {

struct Adapter {
  std::string uri;                       // resolved
  std::string given;                     // as the user wrote it
  double weight = 1;                     // that its deltas are multiplied by
  std::optional<DType> rounded_to = {};  // LowRankUpdate::rounded_to of what it changes
  std::shared_ptr<ObjectStore> store;
  AdapterConfig config;
  CheckpointShard shard;                  // adapter_model.safetensors
  std::vector<CheckpointTensor> tensors;  // of it, by offset; `shard` is 0

  std::string DescribeFile() const { return store->Describe(shard.key); }
};

// Whether the folder is an adapter's alone: it has adapter_config.json, and no weights of a model.
// An error only where the store does not answer (IsRetryable): what may not be looked at is not
// there.
absl::StatusOr<bool> IsAdapterFolder(ObjectStore& store);

// The base that the adapter at `resolved_uri` was trained on, as its adapter_config.json has it.
// kInvalidArgument where it says none.
absl::StatusOr<std::string> BaseNamedByAdapter(std::string_view resolved_uri,
                                               std::string_view given, const Stores& stores);

// Headers alone are read. What is refused: configurations that ParseAdapterConfig refuses, pickled
// weights, tensors of no float type. Errors begin with the adapter's name or the file.
absl::StatusOr<Adapter> OpenAdapter(std::string_view resolved_uri, std::string_view given,
                                    const Stores& stores);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_ADAPTER_H_
