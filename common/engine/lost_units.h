// Units whose output was written, and is not there as it was.
#ifndef MERGANSER_COMMON_ENGINE_LOST_UNITS_H_
#define MERGANSER_COMMON_ENGINE_LOST_UNITS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/engine/unit_result.h"
#include "common/plan/plan.h"
#include "common/storage/object_store.h"

namespace merganser {

// The units, ascending, that have pieces which another wrote again since `results`: a worker that
// was thought dead, or a request that came late. They are to be done once more. Of
// `results` those of the last round count, at most one a unit; `writes` one a shard. Shards that
// are not under way any more are left out. Where ranges are free nothing is asked.
absl::StatusOr<std::vector<uint32_t>> LostUnits(ObjectStore& output, const Plan& plan,
                                                std::span<const PlannedWrite> writes,
                                                std::span<const UnitResult> results);

// How often a job does lost units again before it gives up, and what it says then.
inline constexpr int kMostRedone = 5;
absl::Status RedoneTooOften(size_t units);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_LOST_UNITS_H_
