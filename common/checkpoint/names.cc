#include "common/checkpoint/names.h"

#include <algorithm>
#include <cstddef>
#include <iterator>

namespace merganser {

bool EndsInComponent(std::string_view name, std::string_view last) {
  return name.ends_with(last) &&
         (name.size() == last.size() || name[name.size() - last.size() - 1] == '.');
}

std::string Pattern(std::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size();) {
    size_t end = i;
    while (end < name.size() && name[end] >= '0' && name[end] <= '9') ++end;
    const bool component =
        end > i && (i == 0 || name[i - 1] == '.') && (end == name.size() || name[end] == '.');
    if (component) {
      out.push_back('*');
      i = end;
    } else {
      out.push_back(name[i++]);
    }
  }
  return out;
}

bool IsComputedBuffer(std::string_view name, const Shape& shape) {
  constexpr std::string_view kBuffers[] = {
      "inv_freq",      "original_inv_freq", "cos_cached",  "sin_cached", "embed_positions.weights",
      "position_ids",  "masked_bias",       "causal_mask", "rope.freqs", "relative_position_index",
      "_float_tensor", "freqs_cis"};
  const auto named = [&](std::string_view buffer) { return EndsInComponent(name, buffer); };
  if (std::any_of(std::begin(kBuffers), std::end(kBuffers), named)) return true;
  // GPT-2's and its kin's causal mask is called as a bias is.
  return (named("attn.bias") || named("attention.bias")) && shape.size() == 4 && shape[0] == 1 &&
         shape[1] == 1 && shape[2] == shape[3];
}

}  // namespace merganser
