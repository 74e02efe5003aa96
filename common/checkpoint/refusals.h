// Which inputs are refused by name, and what the message says to do instead.
// Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_REFUSALS_H_
#define MERGANSER_COMMON_CHECKPOINT_REFUSALS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/checkpoint/checkpoint.h"

namespace merganser {

// kInvalidArgument when a tensor or config.json shows that the weights are quantised or packed in a
// way that DecodeQuantised has not taken: values that cannot be averaged as they are stored; when
// scales are left without values; and when config.json says so of weights that are plain: then the
// key is what has to go.
absl::Status RefuseQuantised(const Checkpoint& checkpoint);

// The files of a PEFT adapter.
inline constexpr std::string_view kAdapterFiles[] = {
    "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"};

// True for those.
bool IsAdapterFile(std::string_view file);

// "'a', 'b', 'c' and 4 more".
std::string FirstFew(const std::vector<std::string>& names);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_REFUSALS_H_
