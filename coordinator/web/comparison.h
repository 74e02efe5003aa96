// Two reports side by side: only what differs. Pure.
#ifndef MERGANSER_COORDINATOR_WEB_COMPARISON_H_
#define MERGANSER_COORDINATOR_WEB_COMPARISON_H_

#include <cstddef>
#include <string>
#include <vector>

#include "coordinator/web/measured_differences.h"
#include "coordinator/web/summary.h"

namespace merganser::web {

struct Difference {
  std::string what, a, b;
  std::string difference;  // "+0.05", "x 3.0", "changed"
};

struct Comparison {
  // Same base and the same shapes: what was measured may be compared tensor by tensor. Else only
  // recipe, bytes and time are, and `sentences` say why.
  bool comparable = false;
  std::vector<std::string> sentences;
  std::vector<Difference> differences;
  // Tensors of one report alone: how many, and the names of the first hundred.
  size_t only_a = 0, only_b = 0;
  std::vector<std::string> only_a_names, only_b_names;
  // Tensor by tensor; none where the two are not comparable.
  std::vector<RowPair> pairs;
  std::vector<MeasuredDifferences> measured;
};

// `most`: of each measurement so many tensors are listed.
Comparison Compare(const ReadReport& a, const ReadReport& b, size_t most = kMostDifferences);

// No line holds anything that IsHidden.
std::string ComparisonText(const ReadReport& a, const ReadReport& b, const Comparison& comparison);
// One JSON object on one line; ASCII. Of each measurement it lists the first `most` tensors.
std::string ComparisonJson(const Comparison& comparison, size_t most = kMostDifferences);

}  // namespace merganser::web

#endif  // MERGANSER_COORDINATOR_WEB_COMPARISON_H_
