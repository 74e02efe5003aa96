#include "common/engine/publish_merge.h"

#include "common/base/status.h"

namespace merganser {

absl::StatusOr<std::string> PublishMerge(JobOutput& output, const PreparedMerge& prepared,
                                         const std::vector<UnitResult>& results,
                                         const RunFacts& facts) {
  const std::string report = BuildReport(prepared.plan, results, facts);
  MERGANSER_ASSIGN_OR_RETURN(std::string summary, SummariseReport(report));
  MERGANSER_RETURN_IF_ERROR(output.Publish(results, prepared.donors(), report));
  return summary;
}

}  // namespace merganser
