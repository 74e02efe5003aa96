#include "common/checkpoint/refusals.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "common/format/text.h"

namespace merganser {
namespace {

constexpr size_t kNamed = 3;

}  // namespace

std::string FirstFew(const std::vector<std::string>& names) {
  std::string out;
  for (size_t i = 0; i < std::min(names.size(), kNamed); ++i) {
    absl::StrAppend(&out, i == 0 ? "" : ", ", Quoted(names[i]));
  }
  if (names.size() > kNamed) absl::StrAppend(&out, " and ", names.size() - kNamed, " more");
  return out;
}

bool IsAdapterFile(std::string_view file) {
  return std::find(std::begin(kAdapterFiles), std::end(kAdapterFiles), file) !=
         std::end(kAdapterFiles);
}

}  // namespace merganser
