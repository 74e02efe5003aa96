// What many tensors have in common, told once.
#ifndef MERGANSER_COMMON_PLAN_FOLDED_LINES_H_
#define MERGANSER_COMMON_PLAN_FOLDED_LINES_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace merganser {

class FoldedLines {
 public:
  struct Line {
    std::string what;
    std::string first;                  // the first tensor that it is said of
    std::vector<std::string> patterns;  // kinds of tensors, numbers left out; 64 at most
    size_t tensors = 0;

    // "model.layers.*.a.weight, model.layers.*.b.weight, ..."
    std::string Names() const;
  };

  void Add(std::string_view tensor, std::string_view what);

  // In the order in which each came first.
  const std::vector<Line>& lines() const { return lines_; }

  // "tensor NAME: WHAT" where it is said of one, else "N tensors (NAMES): WHAT".
  std::vector<std::string> Texts() const;

 private:
  std::vector<Line> lines_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_PLAN_FOLDED_LINES_H_
