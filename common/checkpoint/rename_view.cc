#include "common/checkpoint/rename_view.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace merganser {

Checkpoint RenamedView(const Checkpoint& model, const Renaming& renaming) {
  Checkpoint view = model;
  view.by_name.clear();
  std::vector<bool> packed(model.tensors.size(), false);
  for (size_t t = 0; t < renaming.names.size(); ++t) {
    if (renaming.names[t].empty()) continue;
    view.tensors[t].stored = std::exchange(view.tensors[t].name, renaming.names[t]);
  }
  if (!renaming.packed.tensors.empty()) {
    for (const PackedTensor& one : renaming.packed.tensors) packed[one.tensor] = true;
    std::vector<CheckpointTensor> tensors;
    for (size_t t = 0; t < view.tensors.size(); ++t) {
      if (!packed[t]) tensors.push_back(std::move(view.tensors[t]));
    }
    for (const PackedTensor& one : renaming.packed.tensors) {
      tensors.insert(tensors.end(), one.pieces.begin(), one.pieces.end());
    }
    std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
      return a.shard != b.shard ? a.shard < b.shard : a.offset < b.offset;
    });
    view.tensors = std::move(tensors);
  }
  for (uint32_t t = 0; t < view.tensors.size(); ++t) view.by_name.emplace(view.tensors[t].name, t);
  return view;
}

}  // namespace merganser
