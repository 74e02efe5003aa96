// What the tensors of one model tell of each other by their shapes, whatever they are called.
#ifndef MERGANSER_COMMON_METHODS_MODEL_STRUCTURE_H_
#define MERGANSER_COMMON_METHODS_MODEL_STRUCTURE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "common/methods/merge_method.h"

namespace merganser {

// Of the tensors that it was made of, which must outlive it. Const, and so thread-safe.
class ModelStructure {
 public:
  // `vocabularies`: the sizes that config.json gives. Those of embeddings and heads under
  // well-known names are added.
  ModelStructure(std::span<const TensorSpec> tensors, std::span<const uint64_t> vocabularies);

  // Of one of the tensors.
  //
  // vocabulary: 2-D, no part of the name is a number, and one side alone is a vocabulary's size.
  // experts: 3-D, [n, a, b], and the layer has a matrix of n by a or b: the router.
  // transposed: what is added to the output has the length of the last dimension alone; where
  //   nothing is added, the router tells the length of what goes in (gate, up) or comes out (down).
  //   Square ones are as the others of their layer of as many dimensions, if these agree.
  TensorHints HintsFor(const TensorSpec& tensor) const;

 private:
  enum class Layout { kUnknown, kStored, kTransposed };

  bool IsVocabulary(const TensorSpec& tensor) const;
  uint64_t SideBesideRouter(const TensorSpec& tensor) const;
  Layout ClearLayout(const TensorSpec& tensor) const;

  std::map<std::string_view, const Shape*, std::less<>> shapes_;
  std::set<uint64_t> vocabularies_;
  std::map<std::string_view, std::vector<const Shape*>, std::less<>> matrices_;  // of every layer
  // By layer and number of dimensions: whether all clear ones are transposed.
  std::map<std::pair<std::string_view, size_t>, bool> all_transposed_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_MODEL_STRUCTURE_H_
