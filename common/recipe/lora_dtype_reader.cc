#include "common/recipe/lora_dtype_reader.h"

#include <string_view>

namespace merganser {

absl::Status ReadLoraDType(const YamlNode& node, const std::string& key,
                           const RecipeMessages& messages, Recipe& out) {
  std::optional<DType> dtype;
  if (node.kind == YamlNode::Kind::kScalar) {
    constexpr std::string_view kModule = "torch.";  // as Python shows them
    std::string_view name = node.text;
    if (name.starts_with(kModule)) name.remove_prefix(kModule.size());
    dtype = ParseTorchFloat(name);
  }
  if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16) {
    return messages.Wrong(node, key,
                          "float32 (products are not rounded before they are added), bfloat16 or "
                          "float16");
  }
  out.lora_dtype_line = node.line;
  if (dtype != DType::kF32) out.lora_dtype = dtype;
  return absl::OkStatus();
}

}  // namespace merganser
