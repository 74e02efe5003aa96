#include "common/checkpoint/quantised_names.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace merganser {
namespace {

// The last component of a tensor's name.
constexpr std::string_view kPackedParts[] = {"qweight",
                                             "qzeros",
                                             "g_idx",
                                             "weight_packed",
                                             "weight_scale",
                                             "weight_scale_2",
                                             "weight_scales",
                                             "weight_shape",
                                             "absmax",
                                             "quant_map",
                                             "nested_absmax",
                                             "SCB",
                                             "weight_g_idx",
                                             "weight_scale_inv",
                                             "weight_zero_point",
                                             "nested_quant_map",
                                             "q_weight",
                                             "q_scale",
                                             "q_invperm",
                                             "trellis",
                                             "Qidxs",
                                             "bitmask",
                                             "W_q",
                                             "weight_qdata",
                                             "weight_global_scale",
                                             "qscale_weight"};

// Scales of what goes into a layer, of the cache, and of what comes out.
constexpr std::string_view kInputScales[] = {
    "input_scale",         "input_scale_inv", "input_scale_ub", "activation_scale",
    "activation_scale_ub", "act_scale",       "qscale_act"};
constexpr std::string_view kCacheScales[] = {"k_scale",  "v_scale",    "q_scale",
                                             "kv_scale", "prob_scale", "output_scale"};

template <typename List>
bool Has(const List& list, std::string_view word) {
  return std::find(std::begin(list), std::end(list), word) != std::end(list);
}

// Parts that one way to quantise alone writes, the telling ones first.
constexpr std::pair<std::string_view, std::string_view> kKinds[] = {
    {"weight_scale_2", "NVFP4"},
    {"weight_global_scale", "NVFP4"},
    {"qweight", "GPTQ or AWQ"},
    {"g_idx", "GPTQ or AWQ"},
    {"SCB", "bitsandbytes"},
    {"absmax", "bitsandbytes"},
    {"quant_map", "bitsandbytes"},
    {"W_q", "HQQ"},
    {"trellis", "EXL3"},
    {"q_weight", "EXL2"},
    {"Qidxs", "QuIP#"},
    {"weight_qdata", "torchao"},
    {"weight_packed", "packed INT4"},
};

constexpr std::pair<std::string_view, std::string_view> kMethods[] = {
    {"gptq", "GPTQ"},
    {"awq", "AWQ"},
    {"bitsandbytes", "bitsandbytes"},
    {"hqq", "HQQ"},
    {"quanto", "quanto"},
    {"torchao", "torchao"},
    {"mlx", "MLX"},
    {"aqlm", "AQLM"},
    {"nvfp4", "NVFP4"},
    {"quark", "Quark"},
    {"gguf", "GGUF"},
    {"exl3", "EXL3"},
    {"exl2", "EXL2"},
    {"spqr", "SpQR"},
    {"vptq", "VPTQ"},
    {"higgs", "HIGGS"},
    {"eetq", "EETQ"},
    {"bitnet", "BitNet"},
    {"auto-round", "AutoRound"},
    {"fp_quant", "FP-Quant"},
};

}  // namespace

std::string_view LastComponent(std::string_view name) {
  const size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

bool IsPackedPart(std::string_view name) {
  if (name.find(".quant_state.") != std::string_view::npos) return true;
  const std::string_view last = LastComponent(name);
  // Of fused experts: gate_up_proj_scale_inv.
  return last.ends_with("_scale_inv") || Has(kPackedParts, last);
}

bool IsActivationScale(const CheckpointTensor& tensor) {
  const std::string_view last = LastComponent(tensor.name);
  // Of fused experts: gate_up_proj_input_scale.
  if (Has(kInputScales, last) || last.ends_with("_input_scale") ||
      last.ends_with("_input_scale_inv") || last.ends_with("_activation_scale")) {
    return true;
  }
  return Has(kCacheScales, last) && std::all_of(tensor.shape.begin(), tensor.shape.end(),
                                                [](uint64_t extent) { return extent == 1; });
}

bool IsDecodedMethod(std::string_view method) {
  constexpr std::string_view kDecoded[] = {"fp8", "fbgemm_fp8", "compressed-tensors", "modelopt",
                                           "mxfp4"};
  return Has(kDecoded, method);
}

std::string QuantisedKind(const Checkpoint& checkpoint) {
  for (const auto& [part, kind] : kKinds) {
    for (const CheckpointTensor& tensor : checkpoint.tensors) {
      if (LastComponent(tensor.name) == part) {
        // GPTQ's and AWQ's parts are called the same.
        if (kind.starts_with("GPTQ")) break;
        return std::string(kind);
      }
    }
  }
  const std::string method = absl::AsciiStrToLower(checkpoint.config.quantization_method);
  for (const auto& [name, kind] : kMethods) {
    if (method == name) return std::string(kind);
  }
  for (const CheckpointTensor& tensor : checkpoint.tensors) {
    if (LastComponent(tensor.name) == "qweight") return "GPTQ or AWQ";
    if (LastComponent(tensor.name) == "weight" && tensor.dtype == DType::kI8 &&
        checkpoint.Find(absl::StrCat(tensor.name, "_scale")) != nullptr) {
      return "INT8";
    }
  }
  return "";
}

std::string UnpackAdvice(std::string_view kind) {
  std::string_view with;
  if (kind == "bitsandbytes" || kind == "HQQ" || kind == "quanto") {
    with = ", e.g. with transformers' model.dequantize(),";
  } else if (kind.find("GPTQ") != std::string_view::npos || kind == "AWQ" || kind == "AutoRound") {
    with = ", e.g. with GPTQModel,";
  } else if (kind == "MLX") {
    with = ", e.g. with mlx_lm.convert --dequantize,";
  } else if (kind == "packed INT4" || kind == "INT8" || kind == "NVFP4") {
    with =
        ", e.g. with transformers' CompressedTensorsConfig(dequantize=True) where "
        "compressed-tensors "
        "wrote it,";
  } else if (kind == "GGUF") {
    with = ", e.g. with transformers' from_pretrained(..., gguf_file=...),";
  }
  return absl::StrCat("dequantise it first", std::string(with), " and save it as bfloat16");
}

}  // namespace merganser
