// What a report says of how the experts fit together, in numbers and in sentences. Pure.
//
// The sentences are made of thresholds and say what was measured, never "good": no weight tells
// whether a model is.
#ifndef MERGANSER_COORDINATOR_WEB_FINDINGS_H_
#define MERGANSER_COORDINATOR_WEB_FINDINGS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/web/layout.h"
#include "coordinator/web/report_data.h"

namespace merganser::web {

// Coherence within this of the jump may come out on its other side after a small change.
inline constexpr double kNearJump = 1e-3;

struct ModeTotal {
  std::string mode, family;
  size_t tensors = 0;
  uint64_t elements = 0;
};

// Of a measurement, over the rows that have it (lists flattened).
struct Spread {
  std::string name;
  size_t count = 0;
  double least = kNothing, median = kNothing, greatest = kNothing;
};

// What came from each expert, or how far it moved, by layer.
struct ByExpert {
  std::string kind;             // "moved" (resmerge), "selected" (scf_rkl), empty: not measured
  std::vector<int32_t> layers;  // in order
  std::vector<std::vector<double>> values;  // [expert][layer]
  std::vector<double> totals;               // [expert], all tensors, those without a layer too
};

struct Findings {
  std::vector<ModeTotal> modes;
  std::vector<Spread> spreads;
  size_t copied = 0, tied = 0, noted = 0;
  // --- resmerge: rows that have a gate of their own.
  double jump = kNothing;  // 1/sqrt(N)
  size_t gates = 0, above = 0, near_jump = 0;
  std::vector<size_t> fell_back;  // rows of gates that took the mean branch, lowest first
  uint64_t fell_back_elements = 0, gate_elements = 0;
  // --- scf_rkl.
  double density = kNothing;  // of the elements that any tensor was measured of
  std::vector<double> shares;
  ByExpert by_expert;
  // The first is the verdict; the last says what this is not.
  std::vector<std::string> sentences;
};

Findings Find(const MergeReport& report, const Layout& layout);

// What a row is called: the tensor's name, with "[7]" for a leaf of it; a gate's key.
std::string RowName(const MergeReport& report, size_t row);
// The same in short: "layer 4 k", "layer 4 experts down 17", "embed tokens".
std::string ShortRowName(const MergeReport& report, const Layout& layout, size_t row);
uint64_t RowElements(const MergeReport& report, size_t row);

}  // namespace merganser::web

#endif  // MERGANSER_COORDINATOR_WEB_FINDINGS_H_
