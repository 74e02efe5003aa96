#include "common/config/layer_tensors.h"

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/checkpoint/layers.h"
#include "common/format/text.h"

namespace merganser {
namespace {

std::string ShapeText(const Shape& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

// Zamba's block that several layers use and the first of them stores: which one a layer used is
// not to be said of an output whose layers are others.
bool IsShared(std::string_view name) { return name.find(".shared_transf") != std::string::npos; }

absl::Status SharedBlock(const Checkpoint& reference, const CheckpointTensor& tensor) {
  return absl::InvalidArgumentError(absl::StrCat(
      reference.DescribeShard(tensor.shard), ": tensor ", Quoted(tensor.name),
      " is of a block that several layers share: slices that move layers are not supported for "
      "such models"));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> CheckLayerTensors(const Checkpoint& reference,
                                                           const ConfigChanges& changes) {
  std::vector<std::string> warnings;
  const uint64_t layers = changes.reference_layers;
  if (changes.origins.empty() || layers == 0) return warnings;
  std::vector<const CheckpointTensor*> like;  // one row or element a layer
  bool ordinary = false;                      // layers have such a side as well
  for (const CheckpointTensor& tensor : reference.tensors) {
    const Shape& shape = tensor.shape;
    if (ParseLayer(tensor.name).has_value()) {
      if (IsShared(tensor.name)) return SharedBlock(reference, tensor);
      ordinary |= std::find(shape.begin(), shape.end(), layers) != shape.end();
      continue;
    }
    const bool multiple = std::any_of(
        shape.begin(), shape.end(), [&](uint64_t side) { return side > 0 && side % layers == 0; });
    if (multiple && tensor.name.find("per_layer") != std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat(
          reference.DescribeShard(tensor.shard), ": tensor ", Quoted(tensor.name), ": found shape ",
          ShapeText(shape), ", of which one side has a part for each of the ", layers,
          " layers: slices that move layers are not supported for such models"));
    }
    if (layers > 1 && !shape.empty() && shape[0] == layers) like.push_back(&tensor);
  }
  if (ordinary) return warnings;
  for (const CheckpointTensor* tensor : like) {
    warnings.push_back(
        absl::StrCat(reference.DescribeShard(tensor->shard), ": tensor ", Quoted(tensor->name),
                     " of shape ", ShapeText(tensor->shape),
                     " has as many rows as there were layers, and is merged as it is, ",
                     "though the slices move layers"));
  }
  return warnings;
}

}  // namespace merganser
