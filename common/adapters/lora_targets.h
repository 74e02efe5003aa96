// Which tensors of a model an adapter (LoRA) as PEFT has it can change, and as what.
#ifndef MERGANSER_COMMON_ADAPTERS_LORA_TARGETS_H_
#define MERGANSER_COMMON_ADAPTERS_LORA_TARGETS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/adapters/model_pair.h"

namespace merganser {

// How PEFT stores the factors. With delta = U V^T of the stored weight:
enum class LoraLayer : uint8_t {
  kLinear,     // weight [out, in]: lora_B = U, lora_A = V^T
  kConv1D,     // weight [in, out], as GPT-2 has it: lora_B = V, lora_A = U^T
  kEmbedding,  // weight [tokens, width]: lora_embedding_B = V, lora_embedding_A = U^T
};

struct LoraTarget {
  size_t tensor = 0;   // index into the alignment's tensors
  std::string module;  // its name without ".weight"
  LoraLayer layer = LoraLayer::kLinear;
};

// A tensor that no target serves.
struct BesideTargets {
  size_t tensor = 0;
  std::string why;  // "a norm"; one of few, so that equal ones can be counted
};

// What the user wants of the modules: names, or their ends ("q_proj", "mlp.up_proj"), as in PEFT's
// target_modules.
struct LoraModules {
  std::vector<std::string> only;     // empty: every linear layer within layers
  std::vector<std::string> exclude;  // stronger than `only`
};

struct LoraTargets {
  std::vector<LoraTarget> targets;    // in the alignment's order
  std::vector<BesideTargets> beside;  // likewise; without tensors that no model can differ in
};

// Embeddings, output heads and routers of experts are targets where `modules.only` names them.
// kInvalidArgument for an entry that names no module of the base, or none that can be a target.
absl::StatusOr<LoraTargets> FindLoraTargets(const ModelPair& pair, const LoraModules& modules);

// "a.b.q_proj" matches "q_proj", "b.q_proj" and itself.
bool MatchesModule(std::string_view module, std::string_view entry);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ADAPTERS_LORA_TARGETS_H_
