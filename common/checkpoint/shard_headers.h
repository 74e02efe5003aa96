// Headers of safetensors files in a folder. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_SHARD_HEADERS_H_
#define MERGANSER_COMMON_CHECKPOINT_SHARD_HEADERS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/checkpoint/checkpoint.h"
#include "common/format/safetensors.h"
#include "common/storage/object_store.h"

namespace merganser {

struct ShardHeader {
  absl::Status status;
  CheckpointShard shard;
  bool missing = false;
  SafetensorsHeader header;
};

// One a file, in their order; several are read at once.
std::vector<ShardHeader> ReadShardHeaders(ObjectStore& store,
                                          const std::vector<std::string>& files);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_SHARD_HEADERS_H_
