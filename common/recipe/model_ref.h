// A model that is another one with adapters on it.
#ifndef MERGANSER_COMMON_RECIPE_MODEL_REF_H_
#define MERGANSER_COMMON_RECIPE_MODEL_REF_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace merganser {

// Adapters of one model, at most.
inline constexpr size_t kMaxAdapters = 64;

struct ModelAdapter {
  std::string path;   // as written
  double weight = 1;  // that its deltas are multiplied by; finite

  bool operator==(const ModelAdapter&) const = default;
};

struct ModelRef {
  std::string path;  // as written; itself perhaps an adapter's folder, with a base of its own
  std::vector<ModelAdapter> adapters;  // added in this order
  // Written as one text, "BASE+ADAPTER", which is a path where such a folder is there.
  bool may_be_path = false;

  bool operator==(const ModelRef&) const = default;
};

// "BASE + ADAPTER", "BASE + 0.5*ADAPTER": what messages, reports and the plan call a model whose
// parts are written one by one. One that is written as one text is called as it is written, which
// this gives for those that may be a path.
std::string ModelRefText(const ModelRef& ref);

// "BASE+ADAPTER+ADAPTER", taken apart; nullopt where nothing separates. A '+' separates what
// stands around it, but within the path of a URI other than hf:// only where another URI or a path
// that begins with '/', './' or '../' follows.
std::optional<ModelRef> SplitModelText(std::string_view text);

}  // namespace merganser

#endif  // MERGANSER_COMMON_RECIPE_MODEL_REF_H_
