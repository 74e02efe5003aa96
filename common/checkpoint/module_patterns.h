// Patterns of modules' names as adapter_config.json has them: Python's regular expressions, which
// as a rule are plain names. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_MODULE_PATTERNS_H_
#define MERGANSER_COMMON_CHECKPOINT_MODULE_PATTERNS_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "re2/re2.h"

namespace merganser {

// Matching takes time in proportion to pattern and name, and the memory of a small machine of
// states, whatever the pattern: they come with adapters from anywhere.
class ModulePattern {
 public:
  // kInvalidArgument where it is no pattern that is understood here: not all of Python's grammar
  // is.
  static absl::StatusOr<ModulePattern> Parse(std::string_view text);

  const std::string& text() const { return text_; }
  // Whether it fits all of `name` (re.fullmatch).
  bool FitsAll(std::string_view name) const;
  // Whether it fits all of it, or what stands behind some '.' in it: PEFT's rule for rank_pattern
  // and alpha_pattern.
  bool FitsEnd(std::string_view name) const;

 private:
  std::string text_;
  // Of a plain name: its characters, '\0' for any one; else empty.
  std::vector<char> plain_;
  bool anchored_ = false;  // it begins with '^'
  std::shared_ptr<const RE2> whole_, end_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_MODULE_PATTERNS_H_
