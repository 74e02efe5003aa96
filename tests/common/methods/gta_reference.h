// A plain float64 evaluation of the task arithmetic family, and the test data and
// checks that its members share. Shares no code with the methods.
#ifndef MERGANSER_TESTS_COMMON_METHODS_GTA_REFERENCE_H_
#define MERGANSER_TESTS_COMMON_METHODS_GTA_REFERENCE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/common/methods/run_method.h"

namespace merganser {

using Numbers = std::vector<double>;
// Of one task vector; empty: it is left as it is, and not rescaled.
using Kept = std::vector<bool>;

struct ReferenceGta {
  bool consensus = false;
  bool normalize = false;
  bool rescale = false;
  double lambda = 1;
  Numbers weights;
  std::vector<Kept> kept;
};

Numbers Evaluate(const ReferenceGta& gta, const Numbers& base, const std::vector<Numbers>& experts);

// Indices by (|d| as float32 descending, index ascending).
std::vector<size_t> ByMagnitude(const Numbers& base, const Numbers& expert);
// Those whose place in that order is in [begin, end).
Kept KeptRanks(const Numbers& base, const Numbers& expert, size_t begin, size_t end);

// Normally distributed task vectors; a third of their elements are 0.
MethodRun RandomRun(size_t size, size_t experts, uint64_t seed);
// Task vectors of few distinct magnitudes: thousands of equal ones, and zeros.
MethodRun TiedRun(size_t size, size_t experts, uint64_t seed);

// RunMethod gives `expected` in float64, for several cuts into leaves and numbers of
// threads; bit for bit the same where `exact`, which sums over leaves are not.
void ExpectMerges(const MergeMethod& method, MethodRun run, const Numbers& expected, bool exact);

// The method changes nothing but to round once where the experts are the base.
void ExpectKeepsTheBase(const MergeMethod& method, size_t experts);

}  // namespace merganser

#endif  // MERGANSER_TESTS_COMMON_METHODS_GTA_REFERENCE_H_
