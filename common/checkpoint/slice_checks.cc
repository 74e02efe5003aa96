#include "common/checkpoint/slice_checks.h"

#include <cstddef>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/format/text.h"

namespace merganser {
namespace {

std::string Name(const Checkpoint& model) { return absl::StrCat("model ", Quoted(model.given)); }

}  // namespace

absl::Status CheckStacks(const std::vector<const Checkpoint*>& models,
                         const std::vector<LayerSlice>& slices) {
  for (const Checkpoint* model : models) {
    const LayerCounts counts = CountLayers(*model);
    if (counts.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          Name(*model), ": no tensor of ", model->uri,
          " is of a layer (such as model.layers.0.mlp.up_proj.weight), expected layers for "
          "slices"));
    }
    if (counts.size() > 1) {
      std::vector<std::string> stacks;
      for (const auto& [stack, count] : counts) stacks.push_back(Quoted(stack));
      return absl::InvalidArgumentError(
          absl::StrCat(Name(*model), ": found layers of ", absl::StrJoin(stacks, ", "),
                       ", expected one stack of layers: slices of several are not supported"));
    }
    const auto& [stack, count] = *counts.begin();
    for (const CheckpointTensor& tensor : model->tensors) {
      const std::optional<LayerName> parsed = ParseLayer(tensor.name);
      if (!parsed.has_value() || parsed->layer < count) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(Name(*model), ": ", model->DescribeShard(tensor.shard), ": tensor ",
                       Quoted(tensor.name), " is of a layer for multi-token prediction behind the ",
                       count, " of ", Quoted(stack), ": slices of such models are not supported"));
    }
    for (size_t s = 0; s < slices.size(); ++s) {
      for (const LayerSlice::Source& source : slices[s].sources) {
        if (models[source.model] != model || source.first_layer + slices[s].layers <= count) {
          continue;
        }
        return absl::InvalidArgumentError(
            absl::StrCat(Name(*model), ": found ", count, " layers of ", Quoted(stack), " in ",
                         model->uri, ", expected at least ", source.first_layer + slices[s].layers,
                         " for layer_range [", source.first_layer, ", ",
                         source.first_layer + slices[s].layers, "] of slices[", s, "]"));
      }
    }
  }
  return absl::OkStatus();
}

void MarkUnasked(const Checkpoint& model, uint32_t index, const std::vector<LayerSlice>& slices,
                 const Checkpoint& reference, std::vector<bool>& used) {
  for (size_t i = 0; i < model.tensors.size(); ++i) {
    const std::optional<LayerName> parsed = ParseLayer(model.tensors[i].name);
    bool asked = false;
    for (const LayerSlice& slice : slices) {
      for (const LayerSlice::Source& source : slice.sources) {
        asked |= parsed.has_value() && source.model == index &&
                 parsed->layer >= source.first_layer &&
                 parsed->layer < source.first_layer + slice.layers;
      }
    }
    if (parsed.has_value() ? !asked : reference.Find(model.tensors[i].name) != nullptr) {
      used[i] = true;
    }
  }
}

}  // namespace merganser
