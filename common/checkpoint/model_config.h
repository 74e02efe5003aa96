// config.json, as far as merging cares. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_MODEL_CONFIG_H_
#define MERGANSER_COMMON_CHECKPOINT_MODEL_CONFIG_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"

namespace merganser {

// A longer config.json is refused.
inline constexpr uint64_t kMaxConfigBytes = 4 << 20;

// kDataLoss when `text` is not a JSON object or a member that is read has
// another type. NaN and Infinity, which Python writes, are taken for numbers;
// of a key that repeats the last one counts, as in Python.
absl::StatusOr<ModelConfig> ParseModelConfig(std::string text);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_MODEL_CONFIG_H_
