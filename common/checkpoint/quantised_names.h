// What the parts of quantised weights are called, and what takes them apart. Private to this
// folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_QUANTISED_NAMES_H_
#define MERGANSER_COMMON_CHECKPOINT_QUANTISED_NAMES_H_

#include <string>
#include <string_view>

#include "common/checkpoint/checkpoint.h"

namespace merganser {

// "weight" of "model.layers.0.mlp.up_proj.weight".
std::string_view LastComponent(std::string_view name);

// Whether a tensor of this name is part of a weight that is stored quantised: what GPTQ, AWQ,
// bitsandbytes, compressed-tensors, fp8, ExLlama, HQQ, QuIP#, quanto and torchao write.
bool IsPackedPart(std::string_view name);

// Whether a tensor scales activations or the cache of keys and values: of the quantised form alone,
// and of no use to weights.
bool IsActivationScale(const CheckpointTensor& tensor);

// Whether weights of this `quant_method` may be decoded as they are read: fp8, fbgemm_fp8,
// compressed-tensors, modelopt, mxfp4. Their tensors tell whether they can.
bool IsDecodedMethod(std::string_view method);

// How the weights are quantised, by `method` (or empty) and the names of the tensors: "NVFP4",
// "GPTQ"; empty where neither tells.
std::string QuantisedKind(const Checkpoint& checkpoint);
// What to do with weights of that kind: "dequantise it first ...".
std::string UnpackAdvice(std::string_view kind);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_QUANTISED_NAMES_H_
