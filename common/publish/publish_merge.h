// The last step of a merge, the same for every way of running.
#ifndef MERGANSER_COMMON_PUBLISH_PUBLISH_MERGE_H_
#define MERGANSER_COMMON_PUBLISH_PUBLISH_MERGE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/engine/job_output.h"
#include "common/engine/unit_result.h"
#include "common/prepare/output_donors.h"
#include "common/prepare/prepare.h"
#include "common/publish/report.h"

namespace merganser {

// Publishes `results` with what stands beside the weights: config.json, card, recipe, `report_json`
// (of BuildReport), and what goes along from `donors`. `results` and errors are those of
// JobOutput::Publish; what cannot be made of the donors fails before anything is written.
absl::Status PublishModel(JobOutput& output, const std::vector<UnitResult>& results,
                          const OutputDonors& donors, std::string report_json);

// Builds the report of a merge whose units are all done, reads it back, and publishes both. Returns
// the report's summary. `results` and errors are those of JobOutput::Publish; a report that cannot
// be read back is a bug, and then nothing becomes visible.
absl::StatusOr<std::string> PublishMerge(JobOutput& output, const PreparedMerge& prepared,
                                         const std::vector<UnitResult>& results,
                                         const RunFacts& facts);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PUBLISH_PUBLISH_MERGE_H_
