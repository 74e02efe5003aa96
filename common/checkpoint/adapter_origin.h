// What is told of an adapter that a model was opened with.
#ifndef MERGANSER_COMMON_CHECKPOINT_ADAPTER_ORIGIN_H_
#define MERGANSER_COMMON_CHECKPOINT_ADAPTER_ORIGIN_H_

#include <cstdint>
#include <optional>
#include <string>

#include "common/tensor/dtype.h"

namespace merganser {

struct AdapterOrigin {
  std::string uri;    // resolved
  std::string given;  // as the user wrote it
  double weight = 1;
  uint64_t modules = 0;   // that it changes by products of low rank
  uint64_t expected = 0;  // that its configuration asks for; 0 where it does not tell
  uint64_t least_rank = 0, most_rank = 0;
  double least_alpha = 0, most_alpha = 0;  // lora_alpha, alpha_pattern
  double least_scale = 0, most_scale = 0;  // lora_alpha / r and the like, without `weight`
  bool dora = false;
  uint64_t whole = 0;                    // tensors that it brings whole (modules_to_save, biases)
  std::optional<DType> rounded_to = {};  // that its products are rounded to (lora_dtype)
};

// "LoRA, 224 of 224 modules, r=16, alpha 32, scale 2".
std::string DescribeAdapter(const AdapterOrigin& adapter);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_ADAPTER_ORIGIN_H_
