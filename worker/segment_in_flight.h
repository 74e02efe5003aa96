// A segment of a unit on its way through the stages of a run.
#ifndef MERGANSER_WORKER_SEGMENT_IN_FLIGHT_H_
#define MERGANSER_WORKER_SEGMENT_IN_FLIGHT_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "common/base/clock.h"
#include "common/engine/unit_result.h"
#include "common/plan/plan.h"
#include "worker/segment_compute.h"
#include "worker/segment_io.h"
#include "worker/unit_in_flight.h"

namespace merganser {

// With one thread at a time.
struct SegmentInFlight {
  std::shared_ptr<UnitInFlight> unit;
  size_t part = 0;  // of the unit
  SegmentData data;
  std::vector<Keepsake> keepsakes;  // that an earlier round left
  SegmentFindings findings;
  StageSeconds stages;
  MonotonicTime handed;  // to the next stage

  const Segment& segment() const { return unit->segment(part); }
};

// Segments of one unit that are read together; mostly one.
using SegmentsInFlight = std::vector<SegmentInFlight>;

}  // namespace merganser

#endif  // MERGANSER_WORKER_SEGMENT_IN_FLIGHT_H_
