// What a tensor of adapter_model.safetensors is, as far as another adapter is to call its own
// alike.
#ifndef MERGANSER_COMMON_CHECKPOINT_ADAPTER_NAMES_H_
#define MERGANSER_COMMON_CHECKPOINT_ADAPTER_NAMES_H_

#include <string>
#include <string_view>

namespace merganser {

struct AdapterTensorName {
  // As the model was called when it was trained, less PEFT's and trainers' wrappers: the module's
  // of a factor, else the tensor's own.
  std::string name;
  bool whole = false;      // a tensor of the model itself (modules_to_save, a bias)
  bool is_a = false;       // lora_A, lora_embedding_A
  bool embedding = false;  // lora_embedding_A or B
  // A parameter of a module that another one is wrapped around (target_parameters).
  bool within = false;
};

AdapterTensorName NameAdapterTensor(std::string_view key);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_ADAPTER_NAMES_H_
