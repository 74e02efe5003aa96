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

// Components of names that only adapters have: LoRA and its kin, IA3, LoHa, LoKr, OFT and
// BOFT, HRA, Bone, MiSS, SHiRA, C3A, RoAd and others of PEFT's, then LyCORIS' and kohya's.
constexpr std::string_view kAdapterParts[] = {
    "lora_A",
    "lora_B",
    "lora_E",
    "lora_embedding_A",
    "lora_embedding_B",
    "lora_magnitude_vector",
    "ranknum",
    "ia3_l",
    "vera_A",
    "vera_B",
    "vera_lambda_b",
    "vera_lambda_d",
    "fourierft_spectrum",
    "waveft_spectrum",
    "trainable_tokens_delta",
    "ln_tuning_layers",
    "adaption_prompt",
    "adaption_gate",
    "modules_to_save",
    "hada_w1_a",
    "hada_w1_b",
    "hada_w2_a",
    "hada_w2_b",
    "hada_t1",
    "hada_t2",
    "lokr_w1",
    "lokr_w1_a",
    "lokr_w1_b",
    "lokr_w2",
    "lokr_w2_a",
    "lokr_w2_b",
    "lokr_t2",
    "oft_r",
    "oft_R",
    "boft_R",
    "boft_s",
    "hra_u",
    "bone_block",
    "miss_block",
    "shira_weight",
    "c3a_kernel",
    "road_theta",
    "road_alpha",
    "lora_up",
    "lora_down",
    "lora_mid",
    "dora_scale",
};
// What some of them begin with: VB-LoRA, RandLoRA, Poly, DeLoRA, GraLoRA.
constexpr std::string_view kAdapterPrefixes[] = {"vblora_", "randlora_", "poly_lora_", "delora_",
                                                 "gralora_"};

bool IsAdapterPart(std::string_view part) {
  return std::find(std::begin(kAdapterParts), std::end(kAdapterParts), part) !=
             std::end(kAdapterParts) ||
         std::any_of(std::begin(kAdapterPrefixes), std::end(kAdapterPrefixes),
                     [&](std::string_view prefix) { return part.starts_with(prefix); });
}

// The weight or bias of a layer that PEFT wraps: then how the layer was called; else empty.
std::string WithoutWrapper(std::string_view name) {
  for (const std::string_view last : {"weight", "bias"}) {
    const std::string wrapped = absl::StrCat(".base_layer.", std::string(last));
    if (!name.ends_with(wrapped)) continue;
    return absl::StrCat(std::string(name.substr(0, name.size() - wrapped.size())), ".",
                        std::string(last));
  }
  return "";
}

bool IsAdapterTensor(const std::string& name, const std::vector<std::string>& parts) {
  if (std::any_of(parts.begin(), parts.end(), IsAdapterPart)) return true;
  // Prompts that are put before the input.
  if (name == "prompt_embeddings") return true;
  if (parts.size() == 4 && parts[0] == "prompt_encoder" && parts[2] == "embedding") return true;
  // Without PEFT's prefix it may be any class's own layer: see RefuseWrappedLayers.
  return name.find("base_model.model.") != std::string::npos && !WithoutWrapper(name).empty();
}

// g has a length for each slice of v, all of one side.
bool FitsWeightNorm(const Shape& g, const Shape& v) {
  if (g.empty()) return true;
  if (g.size() != v.size()) return false;
  size_t sides = 0;
  for (size_t i = 0; i < g.size(); ++i) {
    if (g[i] == 1) continue;
    if (g[i] != v[i]) return false;
    ++sides;
  }
  return sides <= 1;
}
bool IsVector(const Shape&, const Shape& u) { return u.size() == 1; }
bool HasSameShape(const Shape& weight, const Shape& mask) { return weight == mask; }

// The other half of a parameter that the older hooks of torch split.
struct Halves {
  std::string_view stored, other, what, advice;
  bool (*fit)(const Shape& stored, const Shape& other);
};
constexpr Halves kHalves[] = {
    {"_g", "_v", "weight norm", "torch.nn.utils.remove_weight_norm", FitsWeightNorm},
    {"_orig", "_u", "spectral norm", "torch.nn.utils.remove_spectral_norm", IsVector},
    {"_orig", "_mask", "pruning", "torch.nn.utils.prune.remove", HasSameShape},
};

// Which parametrization `tensor` is part of, with the call that removes it.
struct Parametrization {
  std::string what, advice;
};
std::optional<Parametrization> FindParametrization(const Checkpoint& checkpoint,
                                                   const CheckpointTensor& tensor,
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
    if (!tensor.name.ends_with(halves.stored)) continue;
    const std::string stem = tensor.name.substr(0, tensor.name.size() - halves.stored.size());
    const std::string name = absl::StrCat(stem, std::string(halves.other));
    const CheckpointTensor* const other = checkpoint.Find(name);
    if (other == nullptr || !halves.fit(tensor.shape, other->shape)) continue;
    return Parametrization{absl::StrCat(std::string(halves.what), " (with ", Quoted(name), ")"),
                           std::string(halves.advice)};
  }
  return std::nullopt;
}

absl::Status RefuseTensor(const Checkpoint& checkpoint, const CheckpointTensor& tensor,
                          const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(checkpoint.DescribeShard(tensor.shard),
                                                 ": tensor ", Quoted(tensor.name), " is ", what));
}

}  // namespace

absl::Status RefuseAppliedTensors(const Checkpoint& checkpoint) {
  for (const CheckpointTensor& tensor : checkpoint.tensors) {
    const std::vector<std::string> parts = absl::StrSplit(tensor.name, '.');
    if (IsAdapterTensor(tensor.name, parts)) {
      return RefuseTensor(
          checkpoint, tensor,
          absl::StrCat("part of an adapter (LoRA and the like), which loading applies: ",
                       std::string(kMergeAdapter)));
    }
    if (const auto found = FindParametrization(checkpoint, tensor, parts)) {
      return RefuseTensor(checkpoint, tensor,
                          absl::StrCat("part of ", found->what,
                                       ", which loading applies: its parts cannot be merged one by "
                                       "one; remove it first with ",
                                       found->advice, " and save the plain weights"));
    }
  }
  return absl::OkStatus();
}

absl::Status RefuseWrappedLayers(const std::vector<const Checkpoint*>& models) {
  for (const Checkpoint* model : models) {
    for (const CheckpointTensor& tensor : model->tensors) {
      const std::string plain = WithoutWrapper(tensor.name);
      if (plain.empty() || model->Find(plain) != nullptr) continue;
      for (const Checkpoint* other : models) {
        const CheckpointTensor* const found = other->Find(plain);
        if (found == nullptr) continue;
        return RefuseTensor(
            *model, tensor,
            absl::StrCat("a layer that an adapter wraps, ", Quoted(plain), " of ",
                         other->DescribeShard(found->shard), ": ", std::string(kMergeAdapter)));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status RefuseAdapterBeside(ObjectStore& store) {
  for (const std::string_view file : kAdapterFiles) {
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> found, store.Stat(file));
    if (!found.has_value()) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        store.Describe(file),
        ": an adapter lies beside the weights, which loading applies and a merge would lose: to "
        "have it applied, move its files to a folder of their own and name MODEL+FOLDER in the "
        "recipe; if the weights have it already, as after peft's merge_and_unload(), move its "
        "files away"));
  }
  return absl::OkStatus();
}

}  // namespace merganser
