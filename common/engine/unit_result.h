// What a worker tells of a unit that it finished. Plain data: it travels.
#ifndef MERGANSER_COMMON_ENGINE_UNIT_RESULT_H_
#define MERGANSER_COMMON_ENGINE_UNIT_RESULT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/methods/merge_method.h"
#include "common/storage/object_store.h"

namespace merganser {

// Measurements of one leaf of one tensor.
struct LeafReport {
  uint32_t tensor = 0;  // index into Plan::tensors
  uint64_t leaf = 0;
  ReportFields fields;
  double seconds = 0;   // computing, wall clock
};

struct UnitResult {
  uint32_t unit = 0;  // index into Plan::units
  // XXH3-128 of each segment's output bytes, in segment order.
  std::vector<std::string> segment_digests;
  std::vector<WriteReceipt> receipts;
  std::vector<LeafReport> leaves;  // of tensors whose method reports; by tensor, then leaf
  uint64_t bytes_read = 0;
  uint64_t bytes_written = 0;
  double seconds = 0;  // from the first read to the last write, wall clock
  std::string worker;  // who did it

  // One digest for the unit: of its segments' digests. Two results of one unit
  // must agree in it.
  std::string Checksum() const;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_UNIT_RESULT_H_
