// Tensors' names with their numbers taken out, so that those of all layers and experts are
// looked at once. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_NAME_PATTERNS_H_
#define MERGANSER_COMMON_CHECKPOINT_NAME_PATTERNS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/checkpoint/checkpoint.h"
#include "common/tensor/view.h"

namespace merganser {

using NameParts = std::vector<std::string_view>;

// "model.layers.0.w" -> model, layers, 0, w.
NameParts SplitName(std::string_view name);

// Components [begin, end) with dots between.
std::string JoinName(const NameParts& parts, size_t begin, size_t end);

// The name with "*" for each component that is a number but the first: that one may be part
// of a prefix ("0.auto_model.").
std::string NumberlessName(std::string_view name);

// What the stars stand for, in order.
std::vector<std::string_view> NumbersOf(std::string_view name);

// `pattern` with numbers for its stars; as many of each.
std::string FillPattern(std::string_view pattern, const std::vector<std::string_view>& numbers);

struct NamePattern {
  std::string text;
  std::vector<uint32_t> tensors;  // of the model, in its order
  std::vector<Shape> shapes;      // distinct ones of them, a few at most
  bool buffer = false;            // loading computes them
};

// The patterns of the tensors that `skip` has not, in order of their first tensors.
std::vector<NamePattern> GroupNames(const Checkpoint& model, const std::vector<bool>& skip);

// Whether some tensor of one has the shape of some tensor of the other.
bool ShareShape(const NamePattern& a, const NamePattern& b);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_NAME_PATTERNS_H_
