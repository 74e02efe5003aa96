#include "common/checkpoint/decoded.h"

#include <algorithm>

namespace merganser {

bool HasDecoded(const Checkpoint& checkpoint) {
  return std::any_of(checkpoint.tensors.begin(), checkpoint.tensors.end(),
                     [](const CheckpointTensor& tensor) { return tensor.scales.has_value(); });
}

std::vector<std::string> QuantisedKeys(const Checkpoint& checkpoint) {
  if (!HasDecoded(checkpoint)) return {};
  return {"quantization_config", "compression_config", "quantization"};
}

}  // namespace merganser
