// What was measured of the same tensors in two merges, and where it lies furthest apart. Pure.
#ifndef MERGANSER_COORDINATOR_WEB_MEASURED_DIFFERENCES_H_
#define MERGANSER_COORDINATOR_WEB_MEASURED_DIFFERENCES_H_

#include <cstddef>
#include <string>
#include <vector>

#include "coordinator/web/report_data.h"

namespace merganser::web {

// Of each measurement so many tensors are told, to whom they are told.
inline constexpr size_t kMostDifferences = 100;

// Rows of two reports that are the same tensor, part of a tensor, or gate: by their name.
struct RowPair {
  size_t a = 0, b = 0;
};

// In A's order. A name that a report has twice is its first row's.
std::vector<RowPair> PairRows(const MergeReport& a, const MergeReport& b);

struct TensorDifference {
  std::string name;  // RowName
  double a = kNothing, b = kNothing;
};

// One measurement that both have. Of a list of one value an expert it is their mean; of shares of
// each expert there is one of these an expert, of the first eight, where both merge the same ones.
struct MeasuredDifferences {
  std::string measure;
  std::string expert;                  // of a share; else empty
  size_t compared = 0;                 // rows for which both have it, as their own
  size_t differ = 0;                   // of these, with another value
  std::vector<TensorDifference> most;  // of those that differ, the furthest apart first
};

// In the order in which A measured them. `most`: how many tensors each lists; a report's names may
// be as long as it likes.
std::vector<MeasuredDifferences> CompareMeasured(const MergeReport& a, const MergeReport& b,
                                                 const std::vector<RowPair>& pairs, size_t most);

}  // namespace merganser::web

#endif  // MERGANSER_COORDINATOR_WEB_MEASURED_DIFFERENCES_H_
