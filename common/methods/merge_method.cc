#include "common/methods/merge_method.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace merganser {

void AddCounts(const Counts& from, Counts& to) {
  if (from.empty()) return;
  Counts merged;
  merged.reserve(to.size() + from.size());
  auto a = to.begin();
  auto b = from.begin();
  while (a != to.end() || b != from.end()) {
    if (b == from.end() || (a != to.end() && a->first < b->first)) {
      merged.push_back(*a++);
    } else if (a == to.end() || b->first < a->first) {
      merged.push_back(*b++);
    } else {
      merged.emplace_back(a->first, a->second + b->second);
      ++a;
      ++b;
    }
  }
  to = std::move(merged);
}

namespace {

void AddSums(const std::vector<double>& from, std::vector<double>& to) {
  if (to.size() < from.size()) to.resize(from.size(), 0.0);
  for (size_t i = 0; i < from.size(); ++i) to[i] += from[i];
}

}  // namespace

std::vector<double> GroupStats::Total() const {
  std::vector<double> total;
  for (const LeafSums& leaf : leaves) AddSums(leaf.sums, total);
  return total;
}

absl::Status OverflowStatus(const Leaf& leaf, std::optional<uint64_t> index, DType dtype) {
  if (!index.has_value()) return absl::OkStatus();
  const char* hint = "";
  if (dtype == DType::kF16) hint = "; choose an out_dtype with more range (bfloat16 or float32)";
  if (dtype == DType::kBF16 || dtype == DType::kF32) hint = "; out_dtype float64 has more range";
  return absl::OutOfRangeError(absl::StrCat("element ", leaf.first_element + *index,
                                            " of the result is too large for ",
                                            std::string(DTypeName(dtype)), hint));
}

}  // namespace merganser
