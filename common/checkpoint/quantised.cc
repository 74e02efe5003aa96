// Weights that are stored quantised or packed, by what config.json says and by their tensors; and
// a config.json that says so of weights that are not.
#include <algorithm>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/checkpoint/decoded.h"
#include "common/checkpoint/quantised_names.h"
#include "common/checkpoint/refusals.h"
#include "common/format/text.h"

namespace merganser {
namespace {

bool IsPlainFloat(DType dtype) {
  return dtype == DType::kF64 || dtype == DType::kF32 || dtype == DType::kF16 ||
         dtype == DType::kBF16;
}

// An integer matrix of the kinds that hold packed values; positions and the like are of 64 bits,
// masks bool or named so.
bool MayBePacked(const CheckpointTensor& tensor) {
  const bool integer = tensor.dtype == DType::kU8 || tensor.dtype == DType::kI8 ||
                       tensor.dtype == DType::kI16 || tensor.dtype == DType::kU16 ||
                       tensor.dtype == DType::kI32 || tensor.dtype == DType::kU32;
  const std::string_view last = LastComponent(tensor.name);
  return integer && tensor.shape.size() >= 2 && last != "bias" &&
         last.find("mask") == std::string_view::npos &&
         last.find("position") == std::string_view::npos &&
         last.find("index") == std::string_view::npos;
}

// The scales that belong to packed values, beside them: "NAME_scales" of "NAME_blocks" (MXFP4),
// "scales" of "weight" (MLX), and so on; nullptr where there are none.
const CheckpointTensor* ScalesOf(const Checkpoint& checkpoint, const CheckpointTensor& packed) {
  const std::string_view last = LastComponent(packed.name);
  const std::string module = packed.name.substr(0, packed.name.size() - last.size());
  std::string_view stem = last;
  for (const std::string_view ending : {"_blocks", "_packed", "_quantized", "_data"}) {
    if (!last.ends_with(ending)) continue;
    stem = last.substr(0, last.size() - ending.size());
  }
  for (const std::string_view ending :
       {"_scale", "_scales", "_absmax", "_zero_point", "_zeros", "_qzeros"}) {
    const CheckpointTensor* const found =
        checkpoint.Find(absl::StrCat(module, std::string(stem), std::string(ending)));
    if (found != nullptr) return found;
  }
  for (const std::string_view name :
       {"scale", "scales", "absmax", "zero_point", "zeros", "codebooks", "SCB"}) {
    const CheckpointTensor* const found = checkpoint.Find(absl::StrCat(module, std::string(name)));
    if (found != nullptr) return found;
  }
  return nullptr;
}

// That the weights are of no kind that is decoded, and what to do.
std::string Unsupported(const Checkpoint& checkpoint) {
  const std::string kind = QuantisedKind(checkpoint);
  return absl::StrCat("weights that are quantised this way", kind.empty() ? "" : " (", kind,
                      kind.empty() ? "" : ")", " are not supported: ", UnpackAdvice(kind));
}

// Of which tensor `scales` would be the scales, as far as its name tells; empty where it does not.
std::string ValuesOf(std::string_view scales) {
  for (const std::string_view ending : {"_scale_inv", "_scale", "_scales"}) {
    if (!scales.ends_with(ending)) continue;
    return absl::StrCat(std::string(scales.substr(0, scales.size() - ending.size())),
                        ending == "_scales" ? "_blocks" : "");
  }
  return "";
}

// Why a tensor that scales others is there and nothing for it; empty where it is none.
std::string WithoutValues(const Checkpoint& checkpoint, const CheckpointTensor& tensor) {
  const std::string name = ValuesOf(tensor.name);
  if (name.empty() || !HasDecoded(checkpoint)) return "";
  const CheckpointTensor* const values = checkpoint.Find(name);
  return absl::StrCat(
      "scales without values to scale: ", Quoted(name),
      values == nullptr ? " is not there"
                        : absl::StrCat(" is ", std::string(DTypeName(values->dtype)),
                                       values->scales.has_value() ? ", with other scales" : ""),
      ", expected it quantised; was the download or conversion finished? Fetch or quantise "
      "the model again");
}

// Why `tensor` is none that can be averaged as it is stored; empty where it can.
std::string WhyPacked(const Checkpoint& checkpoint, const CheckpointTensor& tensor) {
  if (tensor.scales.has_value()) return "";
  const CheckpointTensor* scales = nullptr;
  const bool of_blocks =
      tensor.dtype == DType::kU8 && tensor.name.ends_with("_scales") && HasDecoded(checkpoint);
  if (!IsQuantisedFloat(tensor.dtype) && !IsPackedPart(tensor.name) && !of_blocks) {
    scales = MayBePacked(tensor) ? ScalesOf(checkpoint, tensor) : nullptr;
    if (scales == nullptr) return "";
  }
  return absl::StrCat("tensor ", Quoted(tensor.name), " of dtype ",
                      std::string(DTypeName(tensor.dtype)),
                      scales == nullptr ? "" : absl::StrCat(" (with ", Quoted(scales->name), ")"));
}

// The keys of config.json, in their order: "key 'a'", "keys 'a', 'b'".
std::string Keys(const ModelConfig& config) {
  return absl::StrCat(config.quantization_keys.size() == 1 ? "key '" : "keys '",
                      absl::StrJoin(config.quantization_keys, "', '"), "'");
}

absl::Status RefuseConfig(const Checkpoint& checkpoint) {
  const std::string method = Quoted(checkpoint.config.quantization_method);
  const std::string where = checkpoint.store->Describe("config.json");
  // Whatever the integers are called: with such a config they are most likely packed.
  const bool plain = std::none_of(
      checkpoint.tensors.begin(), checkpoint.tensors.end(), [&](const CheckpointTensor& tensor) {
        return MayBePacked(tensor) || !WhyPacked(checkpoint, tensor).empty();
      });
  const auto first =
      std::find_if(checkpoint.tensors.begin(), checkpoint.tensors.end(),
                   [](const CheckpointTensor& tensor) { return IsPlainFloat(tensor.dtype); });
  if (!plain || first == checkpoint.tensors.end()) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": quantization_config (method ", method,
                                                   "): ", Unsupported(checkpoint)));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      where, ": ", Keys(checkpoint.config), " (method ", method,
      ") says that the weights are quantised, but they are plain (", Quoted(first->name), " is ",
      std::string(DTypeName(first->dtype)),
      ", and no tensor is packed): loading would take them for what they are not; if it is left "
      "over from before they were dequantised or merged, remove ",
      checkpoint.config.quantization_keys.size() == 1 ? "the key" : "the keys",
      " from config.json"));
}

}  // namespace

absl::Status RefuseQuantised(const Checkpoint& checkpoint) {
  if (!checkpoint.config.quantization_method.empty() && !HasDecoded(checkpoint)) {
    return RefuseConfig(checkpoint);
  }
  for (const CheckpointTensor& tensor : checkpoint.tensors) {
    const std::string why = WhyPacked(checkpoint, tensor);
    if (why.empty()) continue;
    const std::string orphan = WithoutValues(checkpoint, tensor);
    return absl::InvalidArgumentError(
        absl::StrCat(checkpoint.DescribeShard(tensor.shard), ": ", why, ": ",
                     orphan.empty() ? Unsupported(checkpoint) : orphan));
  }
  return absl::OkStatus();
}

}  // namespace merganser
