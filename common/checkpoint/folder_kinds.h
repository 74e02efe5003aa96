// What lies in a folder without safetensors weights, told by names alone. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_FOLDER_KINDS_H_
#define MERGANSER_COMMON_CHECKPOINT_FOLDER_KINDS_H_

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace merganser {

struct Folder {
  std::string prefix;                       // "" or "actor/"
  std::vector<std::string> files, folders;  // bare names, in order; hidden ones are left out
};

// Whether `names` have it.
inline bool Has(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// "checkpoint-300": the number behind what trainers call the states of a run.
std::optional<uint64_t> NumberOf(std::string_view name);

// What to say of the shards that programs leave which train on many processes: verl, DeepSpeed,
// Megatron, FSDP, torch.distributed.checkpoint; begins with "found". `path`: how a command of that
// program would name the folder. nullopt where there are none.
std::optional<std::string> ShardsAdvice(const Folder& folder, const std::string& path);

// The same of an adapter, and of weights in other formats: pickle, GGUF, TensorFlow, Flax, ...
std::optional<std::string> OtherFormatsAdvice(const Folder& folder);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_FOLDER_KINDS_H_
