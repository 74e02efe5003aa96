// Results on record as they are read: what is kept of them does not grow with the units'
// histograms, which are too many to be kept one by one.
#ifndef MERGANSER_COMMON_ENGINE_RESULT_FOLD_H_
#define MERGANSER_COMMON_ENGINE_RESULT_FOLD_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "common/engine/unit_result.h"

namespace merganser {

// Not thread-safe.
class ResultFold {
 public:
  // Of a unit and round the first counts; of others their receipts are added to its own, as a piece
  // that was written again may have another proof. Histograms of a round and group
  // are added to those of the first result that has some: all of them together tell what they
  // told before (JobRounds takes every result of a round), one alone does not.
  void Add(UnitResult result);

  // In the order in which they were added.
  std::vector<UnitResult> Take();

 private:
  struct Place {
    size_t result = 0;
    size_t counts = 0;
  };

  std::vector<UnitResult> results_;
  std::map<std::pair<uint32_t, uint32_t>, size_t> seen_;     // round, unit: into results_
  std::map<std::pair<uint32_t, uint32_t>, Place> carriers_;  // by round and group
};

// Memory that the histograms of `results` take, in bytes.
uint64_t CountsBytes(const std::vector<UnitResult>& results);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_RESULT_FOLD_H_
