#include "common/methods/merge_method.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace merganser {

void Stats::Add(const Stats& other) {
  if (sums.size() < other.sums.size()) sums.resize(other.sums.size(), 0.0);
  for (size_t i = 0; i < other.sums.size(); ++i) sums[i] += other.sums[i];

  if (other.counts.empty()) return;
  std::vector<std::pair<uint64_t, uint64_t>> merged;
  merged.reserve(counts.size() + other.counts.size());
  auto a = counts.begin();
  auto b = other.counts.begin();
  while (a != counts.end() || b != other.counts.end()) {
    if (b == other.counts.end() || (a != counts.end() && a->first < b->first)) {
      merged.push_back(*a++);
    } else if (a == counts.end() || b->first < a->first) {
      merged.push_back(*b++);
    } else {
      merged.emplace_back(a->first, a->second + b->second);
      ++a;
      ++b;
    }
  }
  counts = std::move(merged);
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
