// Checkpoints of which there is no more than their tensors' names, types and shapes.
#ifndef MERGANSER_TESTS_FUZZ_LISTED_MODEL_H_
#define MERGANSER_TESTS_FUZZ_LISTED_MODEL_H_

#include <optional>
#include <string_view>
#include <vector>

#include "common/checkpoint/checkpoint.h"
#include "common/format/safetensors.h"

namespace merganser::fuzz {

// Lines "NAME DTYPE EXTENT...", at most a hundred: "model.norm.weight BF16 8". Others are no
// tensors.
std::vector<SafetensorsSpec> ListedTensors(std::string_view lines);

// A model whose one file holds these as a writer lays them out; nullopt where no file can.
std::optional<Checkpoint> ListedModel(std::string_view lines);

// Whether the block lies within its file, of whole elements.
bool LiesWithin(const Checkpoint& model, const StoredBlock& block);

}  // namespace merganser::fuzz

#endif  // MERGANSER_TESTS_FUZZ_LISTED_MODEL_H_
