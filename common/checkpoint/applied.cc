#include "common/checkpoint/applied.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/checkpoint/refusals.h"
#include "common/format/text.h"

namespace merganser {
namespace {

constexpr std::string_view kMergeAdapter =
    "merge the adapter into its base first, e.g. with peft's merge_and_unload() and "
    "save_pretrained(...)";

// Components of names that only adapters have.
constexpr std::string_view kAdapterParts[] = {"lora_A",
                                              "lora_B",
                                              "lora_E",
                                              "lora_embedding_A",
                                              "lora_embedding_B",
                                              "lora_magnitude_vector",
                                              "lora_up",
                                              "lora_down",
                                              "lora_mid",
                                              "dora_scale",
                                              "ranknum",
                                              "ia3_l",
                                              "vera_A",
                                              "vera_B",
                                              "vera_lambda_b",
                                              "vera_lambda_d",
                                              "fourierft_spectrum",
                                              "trainable_tokens_delta",
                                              "prompt_embeddings",
                                              "ln_tuning_layers",
                                              "adaption_prompt",
                                              "adaption_gate",
                                              "waveft_spectrum",
                                              "modules_to_save",
                                              "original_module"};
// What some of them begin with: LoHa, LoKr, OFT and BOFT, VB-LoRA, RandLoRA, Poly, HRA,
// Bone, MiSS, SHiRA, C3A, RoAd.
constexpr std::string_view kAdapterPrefixes[] = {
    "hada_w1", "hada_w2",    "hada_t1",      "hada_t2",    "lokr_w1",    "lokr_w2",    "lokr_t2",
    "oft_r",   "oft_R",      "boft_",        "vblora_",    "randlora_",  "poly_lora_", "hra_u",
    "bone_",   "miss_block", "shira_weight", "c3a_kernel", "road_theta", "road_alpha"};

bool IsAdapterPart(std::string_view part) {
  return std::find(std::begin(kAdapterParts), std::end(kAdapterParts), part) !=
             std::end(kAdapterParts) ||
         std::any_of(std::begin(kAdapterPrefixes), std::end(kAdapterPrefixes),
                     [&](std::string_view prefix) { return part.starts_with(prefix); });
}

bool IsAdapterTensor(const std::vector<std::string>& parts) {
  if (std::any_of(parts.begin(), parts.end(), IsAdapterPart)) return true;
  // The layer that PEFT wraps. Some vision models have a stage of this name, with
  // layers below it.
  return parts.size() >= 2 && parts[parts.size() - 2] == "base_layer" &&
         (parts.back() == "weight" || parts.back() == "bias");
}

// The other half of a parameter that the older hooks of torch split.
struct Halves {
  std::string_view stored, other, what, advice;
};
constexpr Halves kHalves[] = {
    {"_g", "_v", "weight norm", "torch.nn.utils.remove_weight_norm"},
    {"_orig", "_u", "spectral norm", "torch.nn.utils.remove_spectral_norm"},
    {"_orig", "_mask", "pruning", "torch.nn.utils.prune.remove"},
};

// Which parametrization `name` is part of, with the call that removes it.
struct Parametrization {
  std::string what, advice;
};
std::optional<Parametrization> FindParametrization(const Checkpoint& checkpoint,
                                                   const std::string& name,
                                                   const std::vector<std::string>& parts) {
  for (size_t i = 0; i + 2 < parts.size(); ++i) {
    if (parts[i] != "parametrizations" || !parts[i + 2].starts_with("original")) continue;
    return Parametrization{
        parts[i + 2] == "original" ? "a parametrization" : "a parametrization such as weight norm",
        "torch.nn.utils.parametrize.remove_parametrizations"};
  }
  const std::string& last = parts.back();
  if (!last.starts_with("weight") && !last.starts_with("bias") &&
      last.find("_weight_") == std::string::npos) {
    return std::nullopt;
  }
  for (const Halves& halves : kHalves) {
    if (!name.ends_with(halves.stored)) continue;
    const std::string other =
        absl::StrCat(name.substr(0, name.size() - halves.stored.size()), std::string(halves.other));
    if (checkpoint.Find(other) == nullptr) continue;
    return Parametrization{absl::StrCat(std::string(halves.what), " (with ", Quoted(other), ")"),
                           std::string(halves.advice)};
  }
  return std::nullopt;
}

}  // namespace

absl::Status RefuseAppliedTensors(const Checkpoint& checkpoint) {
  for (const CheckpointTensor& tensor : checkpoint.tensors) {
    const std::vector<std::string> parts = absl::StrSplit(tensor.name, '.');
    const auto refuse = [&](const std::string& what) {
      return absl::InvalidArgumentError(absl::StrCat(
          checkpoint.DescribeShard(tensor.shard), ": tensor ", Quoted(tensor.name), " is ", what));
    };
    if (IsAdapterTensor(parts)) {
      return refuse(absl::StrCat("part of an adapter (LoRA and the like), which loading applies: ",
                                 std::string(kMergeAdapter)));
    }
    if (const auto found = FindParametrization(checkpoint, tensor.name, parts)) {
      return refuse(absl::StrCat("part of ", found->what,
                                 ", which loading applies: its parts cannot be merged one by one; "
                                 "remove it first with ",
                                 found->advice, " and save the plain weights"));
    }
  }
  return absl::OkStatus();
}

absl::Status RefuseAdapterBeside(ObjectStore& store) {
  for (const std::string_view file : kAdapterFiles) {
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> found, store.Stat(file));
    if (!found.has_value()) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        store.Describe(file), ": an adapter lies beside the weights, and loading would apply it: ",
        std::string(kMergeAdapter), ", or move its files away if the weights have it already"));
  }
  return absl::OkStatus();
}

}  // namespace merganser
