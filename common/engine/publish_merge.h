// The last step of a merge, the same for every way of running.
#ifndef MERGANSER_COMMON_ENGINE_PUBLISH_MERGE_H_
#define MERGANSER_COMMON_ENGINE_PUBLISH_MERGE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/engine/job_output.h"
#include "common/engine/prepare.h"
#include "common/engine/report.h"
#include "common/engine/unit_result.h"

namespace merganser {

// Builds the report of a merge whose units are all done, reads it back, and publishes both. Returns
// the report's summary. `results` and errors are those of JobOutput::Publish; a report that cannot
// be read back is a bug, and then nothing becomes visible.
absl::StatusOr<std::string> PublishMerge(JobOutput& output, const PreparedMerge& prepared,
                                         const std::vector<UnitResult>& results,
                                         const RunFacts& facts);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_PUBLISH_MERGE_H_
