#include "common/checkpoint/config_shapes.h"

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/checkpoint/config_common.h"
#include "common/checkpoint/config_values.h"
#include "common/checkpoint/layers.h"
#include "common/format/text.h"

namespace merganser {
namespace {

bool Is(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Of these a head's size is hidden_size / num_attention_heads where head_dim is missing.
bool DividesHeads(std::string_view type) {
  return Is(type, {"llama", "mistral", "mixtral", "qwen2", "qwen2_moe", "olmo", "olmo2", "olmoe",
                   "starcoder2", "cohere", "granite", "granitemoe", "stablelm", "smollm3"});
}

bool IsPlain(std::string_view type) {
  return DividesHeads(type) ||
         Is(type, {"qwen3", "qwen3_moe", "gemma", "gemma2", "gemma3", "seed_oss", "ernie4_5",
                   "hunyuan_v1_dense", "exaone4", "cohere2"});
}

// Of these every layer's gate_proj has intermediate_size rows.
bool IsDense(std::string_view type) {
  return Is(type, {"llama", "mistral", "qwen2", "qwen3", "olmo", "olmo2", "gemma", "gemma2",
                   "gemma3", "smollm3", "seed_oss", "ernie4_5"});
}

bool IsTextStack(std::string_view stack) {
  return Is(stack, {"layers", "model.layers", "language_model.model.layers",
                    "language_model.layers", "model.language_model.layers"});
}

std::string TextType(const ConfigValues& file) {
  for (const char* key : {"text_config.model_type", "model_type"}) {
    const auto found = file.find(key);
    if (found == file.end()) continue;
    std::string type = found->second.value;
    if (type.ends_with("_text")) type.resize(type.size() - 5);
    return type;
  }
  return "";
}

class Shapes {
 public:
  explicit Shapes(const Checkpoint& model)
      : model_(model), file_(ReadConfigValues(model.config.text)), type_(TextType(file_)) {
    if (!IsPlain(type_)) return;
    const ConfigValues values = CommonConfigValues(file_);
    heads_ = WholeValue(values, "num_attention_heads");
    hidden_ = WholeValue(values, "hidden_size");
    intermediate_ = WholeValue(values, "intermediate_size");
    layers_ = WholeValue(values, "num_hidden_layers");
    head_dim_ = WholeValue(values, "head_dim");
    key_heads_ = WholeValue(values, "num_key_value_heads");
    if (!key_heads_.has_value() && type_ == "llama" && !values.contains("num_key_value_heads")) {
      key_heads_ = heads_;
    }
    if (!head_dim_.has_value() && DividesHeads(type_) && hidden_.has_value() &&
        heads_.value_or(0) > 0) {
      head_dim_ = *hidden_ / *heads_;
    }
  }

  absl::Status Check(bool is_reference) const {
    if (!heads_.has_value()) return absl::OkStatus();
    for (const CheckpointTensor& tensor : model_.tensors) {
      const std::optional<LayerName> layer = ParseLayer(tensor.name);
      if (!layer.has_value() || !IsTextStack(layer->stack) || tensor.shape.size() != 2 ||
          !IsComputable(tensor.dtype)) {
        continue;
      }
      MERGANSER_RETURN_IF_ERROR(
          CheckTensor(tensor, std::string_view(tensor.name).substr(layer->end)));
    }
    return CheckLayers(is_reference);
  }

 private:
  absl::Status CheckTensor(const CheckpointTensor& tensor, std::string_view name) const {
    if (name == ".self_attn.q_proj.weight") {
      MERGANSER_RETURN_IF_ERROR(Columns(tensor));
      return Heads(tensor, "num_attention_heads", heads_);
    }
    if (name == ".self_attn.k_proj.weight" || name == ".self_attn.v_proj.weight") {
      MERGANSER_RETURN_IF_ERROR(Columns(tensor));
      return Heads(tensor, "num_key_value_heads", key_heads_);
    }
    if (name == ".mlp.gate_proj.weight" && IsDense(type_) && intermediate_.has_value() &&
        tensor.shape[0] != *intermediate_) {
      return Wrong(absl::StrCat("intermediate_size is ", *intermediate_), tensor, tensor.shape[0],
                   "rows", *intermediate_);
    }
    return absl::OkStatus();
  }

  absl::Status Columns(const CheckpointTensor& tensor) const {
    if (!hidden_.has_value() || tensor.shape[1] == *hidden_) return absl::OkStatus();
    return Wrong(absl::StrCat("hidden_size is ", *hidden_), tensor, tensor.shape[1], "columns",
                 *hidden_);
  }

  absl::Status Heads(const CheckpointTensor& tensor, const char* key,
                     std::optional<uint64_t> heads) const {
    constexpr uint64_t kMost = uint64_t{1} << 24;
    if (!heads.has_value() || !head_dim_.has_value() || *heads > kMost || *head_dim_ > kMost ||
        tensor.shape[0] == *heads * *head_dim_) {
      return absl::OkStatus();
    }
    return Wrong(absl::StrCat(key, " is ", *heads, " (of ", *head_dim_, " rows each)"), tensor,
                 tensor.shape[0], "rows", *heads * *head_dim_);
  }

  absl::Status CheckLayers(bool is_reference) const {
    if (!layers_.has_value()) return absl::OkStatus();
    for (const auto& [stack, count] : CountLayers(model_)) {
      if (!IsTextStack(stack) || count == *layers_ || (count < *layers_ && !is_reference)) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("model ", Quoted(model_.given), ": ", model_.store->Describe("config.json"),
                       ": num_hidden_layers is ", *layers_, ", found ", count, " layers of ",
                       Quoted(stack), " in ", model_.uri, ": ", kOther));
    }
    return absl::OkStatus();
  }

  absl::Status Wrong(const std::string& says, const CheckpointTensor& tensor, uint64_t found,
                     const char* what, uint64_t expected) const {
    return absl::InvalidArgumentError(absl::StrCat(
        "model ", Quoted(model_.given), ": ", model_.store->Describe("config.json"), ": ", says,
        ", found ", found, " ", what, " in tensor ", Quoted(tensor.name), " of ",
        model_.DescribeShard(tensor.shard), ", expected ", expected, ": ", kOther));
  }

  static constexpr char kOther[] =
      "this config.json is not of these weights; put the one there that is";

  const Checkpoint& model_;
  const ConfigValues file_;
  const std::string type_;
  std::optional<uint64_t> heads_, key_heads_, head_dim_, hidden_, intermediate_, layers_;
};

}  // namespace

absl::Status CheckConfigShapes(const Checkpoint& model, bool is_reference) {
  if (model.config.text.empty()) return absl::OkStatus();
  return Shapes(model).Check(is_reference);
}

absl::Status CheckDepths(const std::vector<const Checkpoint*>& models, size_t reference) {
  const Checkpoint& base = *models[reference];
  const LayerCounts own = CountLayers(base);
  for (const Checkpoint* model : models) {
    const std::optional<uint64_t> said = model->config.layers, base_said = base.config.layers;
    const bool told = said.has_value() && base_said.has_value();
    // What lies behind layers that both count alike is no layer of the model.
    if (told && *said == *base_said) continue;
    for (const auto& [stack, count] : CountLayers(*model)) {
      const auto there = own.find(stack);
      if (there == own.end() || there->second == count) continue;
      if (count < there->second && !(told && *said < *base_said)) continue;
      const uint64_t common = std::min(count, there->second);
      return absl::InvalidArgumentError(absl::StrCat(
          "model ", Quoted(model->given), ": found ", count, " layers of ", Quoted(stack), " in ",
          model->uri, ", expected ", there->second, " as in model ", Quoted(base.given),
          ": which layers go together a recipe with slices has to say (slices: - sources: one for "
          "each model, with layer_range: [0, ",
          common, "] for the first ", common, ")"));
    }
  }
  return absl::OkStatus();
}

}  // namespace merganser
