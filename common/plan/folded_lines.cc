#include "common/plan/folded_lines.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/shown.h"
#include "common/checkpoint/names.h"

namespace merganser {
namespace {

constexpr size_t kNamed = 3;  // kinds that a line names
constexpr size_t kKept = 64;  // kinds that are told apart; there are few, or names tell nothing

}  // namespace

std::string FoldedLines::Line::Names() const {
  std::vector<std::string> shown;
  for (size_t i = 0; i < std::min(kNamed, patterns.size()); ++i) {
    shown.push_back(Shown(patterns[i]));
  }
  return absl::StrCat(absl::StrJoin(shown, ", "), patterns.size() > shown.size() ? ", ..." : "");
}

void FoldedLines::Add(std::string_view tensor, std::string_view what) {
  auto it = std::find_if(lines_.begin(), lines_.end(),
                         [&](const Line& line) { return line.what == what; });
  if (it == lines_.end()) {
    it = lines_.insert(lines_.end(), Line{});
    it->what = std::string(what);
    it->first = std::string(tensor);
  }
  ++it->tensors;
  if (it->patterns.size() >= kKept) return;
  std::string pattern = Pattern(tensor);
  // Those of one layer come one after the other, and of the next layer again.
  if (std::find(it->patterns.begin(), it->patterns.end(), pattern) != it->patterns.end()) return;
  it->patterns.push_back(std::move(pattern));
}

std::vector<std::string> FoldedLines::Texts() const {
  std::vector<std::string> texts;
  texts.reserve(lines_.size());
  for (const Line& line : lines_) {
    texts.push_back(line.tensors == 1
                        ? absl::StrCat("tensor ", Shown(line.first), ": ", line.what)
                        : absl::StrCat(line.tensors, " tensors (", line.Names(), "): ", line.what));
  }
  return texts;
}

}  // namespace merganser
