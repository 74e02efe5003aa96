#include "common/checkpoint/refusals.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/format/text.h"

namespace merganser {
namespace {

constexpr size_t kNamed = 3;

// What GPTQ, AWQ, bitsandbytes, compressed-tensors and fp8 writers call the
// parts of a packed weight: the last component of a tensor's name.
constexpr std::string_view kPackedParts[] = {"qweight",
                                             "qzeros",
                                             "g_idx",
                                             "weight_packed",
                                             "weight_scale",
                                             "weight_shape",
                                             "absmax",
                                             "quant_map",
                                             "nested_absmax",
                                             "SCB",
                                             "weight_g_idx",
                                             "weight_scale_inv",
                                             "weight_zero_point",
                                             "nested_quant_map"};

bool IsPackedPart(std::string_view name) {
  if (name.find(".quant_state.") != std::string_view::npos) return true;
  const size_t dot = name.rfind('.');
  const std::string_view last = dot == std::string_view::npos ? name : name.substr(dot + 1);
  return std::find(std::begin(kPackedParts), std::end(kPackedParts), last) !=
         std::end(kPackedParts);
}

constexpr char kDequantise[] =
    "quantised checkpoints are not supported: dequantise it first and save it as bfloat16";

}  // namespace

std::string FirstFew(const std::vector<std::string>& names) {
  std::string out;
  for (size_t i = 0; i < std::min(names.size(), kNamed); ++i) {
    absl::StrAppend(&out, i == 0 ? "" : ", ", Quoted(names[i]));
  }
  if (names.size() > kNamed) absl::StrAppend(&out, " and ", names.size() - kNamed, " more");
  return out;
}

absl::Status RefuseQuantised(const Checkpoint& checkpoint) {
  if (!checkpoint.config.quantization_method.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(checkpoint.store->Describe("config.json"), ": quantization_config (method ",
                     Quoted(checkpoint.config.quantization_method), "): ", kDequantise));
  }
  for (const CheckpointTensor& tensor : checkpoint.tensors) {
    if (!IsQuantisedFloat(tensor.dtype) && !IsPackedPart(tensor.name)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(checkpoint.DescribeShard(tensor.shard), ": tensor ", Quoted(tensor.name),
                     " of dtype ", std::string(DTypeName(tensor.dtype)), ": ", kDequantise));
  }
  return absl::OkStatus();
}

bool IsAdapterFile(std::string_view file) {
  return std::find(std::begin(kAdapterFiles), std::end(kAdapterFiles), file) !=
         std::end(kAdapterFiles);
}

absl::Status ExplainNoWeights(const std::vector<std::string>& files, std::string_view where) {
  std::vector<std::string> adapters, pickles, ggufs;
  for (const std::string& file : files) {
    if (IsAdapterFile(file)) {
      adapters.push_back(file);
    } else if (file.ends_with(".bin") || file.ends_with(".pt") || file.ends_with(".pth")) {
      // The trainer's own state is pickled as well, and is no model.
      if (file != "training_args.bin" && file != "optimizer.pt" && file != "scheduler.pt" &&
          !file.starts_with("rng_state")) {
        pickles.push_back(file);
      }
    } else if (file.ends_with(".gguf")) {
      ggufs.push_back(file);
    }
  }
  const std::string place(where);
  if (!adapters.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        place, ": found only an adapter (", FirstFew(adapters),
        "): merge the adapter into its base first, e.g. with peft's merge_and_unload() and "
        "save_pretrained(...)"));
  }
  if (!pickles.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(place, ": found only pickle weights (", FirstFew(pickles),
                     "): convert them to safetensors, e.g. with transformers' save_pretrained(..., "
                     "safe_serialization=True)"));
  }
  if (!ggufs.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(place, ": found only GGUF weights (", FirstFew(ggufs),
                     "): use the checkpoint in safetensors that they were made from"));
  }
  return absl::NotFoundError(absl::StrCat(
      place, files.empty() ? ": no such folder, or no file in it" : ": no weights in it",
      "; expected model.safetensors or model.safetensors.index.json"));
}

}  // namespace merganser
