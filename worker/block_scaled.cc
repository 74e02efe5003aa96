#include "worker/block_scaled.h"

#include "absl/strings/str_cat.h"
#include "worker/source_errors.h"

namespace merganser {

absl::Status ReadBlockScaled(const JobContext& job, const PlannedSource& source,
                             const PlannedTensor&, uint64_t, const TensorView&) {
  return absl::UnimplementedError(absl::StrCat(
      DescribeSource(job, source), ": found values with scales, expected weights as they are"));
}

}  // namespace merganser
