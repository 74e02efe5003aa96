// model.safetensors.index.json, as a pure codec.
#ifndef MERGANSER_COMMON_FORMAT_HF_INDEX_H_
#define MERGANSER_COMMON_FORMAT_HF_INDEX_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace merganser {

// Beside the shards of a checkpoint. An array, so that it is a word to any
// function that takes text.
inline constexpr char kHfIndexFile[] = "model.safetensors.index.json";

struct HfIndex {
  uint64_t total_size = 0;  // bytes of tensor data in all shards; 0 if not given
  std::vector<std::pair<std::string, std::string>> weight_map;  // tensor -> file, sorted by tensor
};

// Strict: file names must be bare ("model-00001-of-00002.safetensors": no
// slash, not "..", not hidden), a tensor named twice, a map that is missing or
// of another type is kDataLoss naming the key.
absl::StatusOr<HfIndex> ParseHfIndex(std::string_view json);
std::string WriteHfIndex(const HfIndex& index);

}  // namespace merganser

#endif  // MERGANSER_COMMON_FORMAT_HF_INDEX_H_
