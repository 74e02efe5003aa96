#include "common/publish/publish_merge.h"

#include <utility>

#include "common/base/status.h"
#include "common/engine/output_files.h"
#include "common/publish/low_rank.h"
#include "common/publish/model_card.h"
#include "common/publish/small_files.h"

namespace merganser {

absl::Status PublishModel(JobOutput& output, const std::vector<UnitResult>& results,
                          const OutputDonors& donors, std::string report_json) {
  MERGANSER_RETURN_IF_ERROR(output.CheckResults(results));
  const Plan& plan = output.plan();
  MERGANSER_ASSIGN_OR_RETURN(SmallFiles small, SmallFilesOf(plan, donors));
  OutputFiles files;
  files.copied = std::move(small.auxiliary);
  files.written.reserve(small.written.size() + 4);
  if (!small.config.empty()) files.written.emplace_back(kConfigKey, std::move(small.config));
  for (auto& file : small.written) files.written.push_back(std::move(file));
  files.written.emplace_back(kCardKey, ModelCard(plan, CardWarnings(plan, results)));
  files.written.emplace_back(kRecipeKey, plan.recipe_text);
  files.written.emplace_back(kReportKey, std::move(report_json));
  return output.Publish(results, files);
}

absl::StatusOr<std::string> PublishMerge(JobOutput& output, const PreparedMerge& prepared,
                                         const std::vector<UnitResult>& results,
                                         const RunFacts& facts) {
  std::string report = BuildReport(prepared.plan, results, facts);
  MERGANSER_ASSIGN_OR_RETURN(std::string summary, SummariseReport(report));
  MERGANSER_RETURN_IF_ERROR(PublishModel(output, results, prepared.donors(), std::move(report)));
  return summary;
}

}  // namespace merganser
