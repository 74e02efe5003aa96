// Sources that are put together: rows that lie elsewhere, are means of others' or zeros.
#ifndef MERGANSER_WORKER_SOURCE_PARTS_H_
#define MERGANSER_WORKER_SOURCE_PARTS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "common/plan/plan.h"
#include "common/tensor/view.h"
#include "worker/unit_source.h"

namespace merganser {

// Fills `view` with the elements of `source`, which has parts, from `first` on. Means pass
// through a buffer of kPartBufferBytes. Errors name file and tensor.
absl::Status ReadParts(const JobContext& job, const PlannedSource& source, uint64_t first,
                       const TensorView& view);

inline constexpr uint64_t kPartBufferBytes = 96 * 1024;

}  // namespace merganser

#endif  // MERGANSER_WORKER_SOURCE_PARTS_H_
