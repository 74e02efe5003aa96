// Which tensors of a base an adapter means, whose names may lack or have a prefix that the base's
// have not. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_ADAPTER_TARGETS_H_
#define MERGANSER_COMMON_CHECKPOINT_ADAPTER_TARGETS_H_

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/checkpoint/checkpoint.h"

namespace merganser {

// "model.layers.3.mlp.up_proj.weight" is "model." and what is known by its layer; outside of layers
// the last two components are.
std::pair<std::string_view, std::string_view> SplitPrefix(std::string_view name);

class AdapterTargets {
 public:
  // `names`: tensors as the adapter calls them, as far as they are known, and whether one of the
  // base fits what the adapter has for names[i]. Those of one prefix are the base's under one
  // prefix: their own where the base has any of them so, else the only one under which all of them
  // fit. `base` must outlive the object.
  AdapterTargets(const Checkpoint& base, const std::vector<std::string>& names,
                 const std::function<bool(size_t i, const CheckpointTensor& tensor)>& fits);

  // Null where the base has none.
  const CheckpointTensor* Find(std::string_view name) const;
  // What the base would call it.
  std::string Renamed(std::string_view name) const;
  // Two prefixes that fit alike, for a message; empty where there are none.
  const std::string& ambiguity() const { return ambiguity_; }
  // Prefixes that are others in the base: "model." -> "model.language_model.".
  const std::map<std::string, std::string, std::less<>>& prefixes() const { return prefixes_; }

 private:
  const Checkpoint& base_;
  std::map<std::string, std::string, std::less<>> prefixes_;
  std::string ambiguity_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_ADAPTER_TARGETS_H_
