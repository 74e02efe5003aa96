// A tensor's name taken apart: "model.layers.0.mlp.gate_up_proj.weight" has the parts
// "model", "layers", "0", "mlp", "gate_up_proj", and its last part the words "gate", "up", "proj".
#ifndef MERGANSER_COMMON_METHODS_NAME_PARTS_H_
#define MERGANSER_COMMON_METHODS_NAME_PARTS_H_

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace merganser {

// One component, in lower case.
struct NamePart {
  std::string text;
  std::vector<std::string> words;  // between underscores, without numbers and empty ones

  bool Is(std::initializer_list<std::string_view> texts) const;
  bool HasWord(std::initializer_list<std::string_view> any) const;
  bool Contains(std::initializer_list<std::string_view> any) const;
  bool IsNumber() const;
};

// `parts` without a "weight" or "bias" at the end, which say nothing of the role; never empty but
// for an empty name.
struct NameParts {
  std::vector<NamePart> parts;
  bool bias = false;      // the name ends in "bias"
  bool numbered = false;  // a part is a number: within layers, or one of several

  const NamePart& last() const { return parts.back(); }
};

NameParts TakeApart(std::string_view name);

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_NAME_PARTS_H_
