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
  double seconds = 0;  // computing, wall clock
};

// Measurements of a gate.
struct GroupReport {
  uint32_t group = 0;  // index into Plan::groups
  ReportFields fields;
};

// The histograms that a unit adds to its group's.
struct GroupCounts {
  uint32_t group = 0;
  Counts counts;
};

// Where a unit's time went, in seconds of wall clock, added up over its segments. They are worked
// on side by side: together they may be more than the unit took.
struct StageSeconds {
  double wait = 0;  // of segments, for memory and for a thread of their next stage
  double read = 0;  // inputs, and what earlier rounds left
  double compute = 0;
  double write = 0;  // the output with its digests, or what is left for later rounds
  double flush = 0;  // its share of making its file durable; what a publication takes is nobody's

  StageSeconds& operator+=(const StageSeconds& other) {
    wait += other.wait;
    read += other.read;
    compute += other.compute;
    write += other.write;
    flush += other.flush;
    return *this;
  }
  bool operator==(const StageSeconds&) const = default;
};

struct UnitResult {
  uint32_t unit = 0;   // index into Plan::units
  uint32_t round = 0;  // of Plan::rounds; the last one writes
  // --- Of a round that analyzes: what its leaves told.
  std::vector<GroupStats::LeafSums> sums;  // by tensor, then leaf
  std::vector<GroupCounts> counts;         // by group
  // Of the keepsakes that were put down, so that two results can be compared.
  std::vector<std::string> keepsake_digests;
  // --- Of the round that writes.
  // XXH3-128 of each segment's output bytes, in segment order.
  std::vector<std::string> segment_digests;
  std::vector<WriteReceipt> receipts;
  // --- Of both.
  std::vector<LeafReport> leaves;   // of tensors whose method reports; by tensor, then leaf
  std::vector<GroupReport> groups;  // of those that do not span segments
  uint64_t bytes_read = 0;
  uint64_t bytes_written = 0;
  double seconds = 0;  // from the first read to the last write, wall clock
  std::string worker;  // who did it
  StageSeconds stages;

  // One digest for the unit: of its segments' digests, or of what analysis found.
  // Two results of one unit and round must agree in it.
  std::string Checksum() const;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_UNIT_RESULT_H_
