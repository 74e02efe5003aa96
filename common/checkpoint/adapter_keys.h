// Keys of adapter_model.safetensors, taken apart. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_ADAPTER_KEYS_H_
#define MERGANSER_COMMON_CHECKPOINT_ADAPTER_KEYS_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace merganser {

enum class AdapterRole {
  kA,           // lora_A: [r, in]
  kB,           // lora_B: [out, r]
  kBiasB,       // lora_B's bias: [out]
  kEmbeddingA,  // lora_embedding_A: [r, rows]
  kEmbeddingB,  // lora_embedding_B: [columns, r]
  kMagnitude,   // lora_magnitude_vector: [out]
  kWhole,       // a tensor of the model itself, trained whole
  kOriginal,    // what modules_to_save keeps of the base: no part of the adapter
  kUnknown,     // of an adapter of another kind
};

struct AdapterKey {
  AdapterRole role = AdapterRole::kWhole;
  // As the model was called when it was trained, less PEFT's and trainers' wrappers: of kWhole the
  // tensor's name, else the module's.
  std::string name;
  // How many `base_layer` stand at the module's end: parameters of one module (target_parameters)
  // are wrapped one in the other, the first innermost.
  size_t depth = 0;
  std::string adapter;  // the name that stands behind lora_A, as a rule "default"; may be empty
};

AdapterKey ParseAdapterKey(std::string_view key);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_ADAPTER_KEYS_H_
