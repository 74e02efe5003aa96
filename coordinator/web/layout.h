// Names of tensors as patterns: which layer, which module, which expert. Pure.
#ifndef MERGANSER_COORDINATOR_WEB_LAYOUT_H_
#define MERGANSER_COORDINATOR_WEB_LAYOUT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace merganser::web {

// A name with the numbers of layer and expert taken out: `parts` stand around them, so that
// parts[0] + layer + parts[1] + expert + parts[2] is the name. Any other number is part of a part.
struct NamePattern {
  std::vector<std::string> parts;
  bool layer = false;   // the first number is a layer's
  bool expert = false;  // the last number is an expert's
  // What a picture calls it: "q", "experts down", "k bias"; distinct within a layout.
  std::string label;
  // In the order of computing: attention, then feed-forward, then the rest.
  int rank = 0;
};

struct PlacedName {
  uint32_t pattern = 0;  // into Layout::patterns
  int32_t layer = -1;
  int32_t expert = -1;
};

struct Layout {
  std::vector<NamePattern> patterns;  // in the order in which they were met
  std::vector<PlacedName> names;      // one a name, in the order given
};

// Takes any text for a name. A number is a component of its own, "layers.3.", of at most nine
// digits and without leading zeros, so that the name comes back as it was.
//
// The layer is the number behind "layers", "layer", "h", "blocks" or "block", else the first; the
// expert is the number behind "experts" or "expert".
Layout LayOut(const std::vector<std::string_view>& names);

// The name that a pattern and its numbers stand for.
std::string NameOf(const NamePattern& pattern, const PlacedName& placed);

}  // namespace merganser::web

#endif  // MERGANSER_COORDINATOR_WEB_LAYOUT_H_
