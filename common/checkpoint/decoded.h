// Models some of whose tensors are stored quantised and decoded as they are read.
#ifndef MERGANSER_COMMON_CHECKPOINT_DECODED_H_
#define MERGANSER_COMMON_CHECKPOINT_DECODED_H_

#include <string>
#include <vector>

#include "common/checkpoint/checkpoint.h"

namespace merganser {

bool HasDecoded(const Checkpoint& checkpoint);

// The keys of config.json, at its top and in a text_config, that say so: an output whose weights
// are plain must not have them. None of a model that has no such tensors.
std::vector<std::string> QuantisedKeys(const Checkpoint& checkpoint);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_DECODED_H_
