// What an output has beside its weights, by key, and what its report tells of whose it is. What
// stands in these files is made by others (common/publish); here they are bytes that become visible
// together.
#ifndef MERGANSER_COMMON_ENGINE_OUTPUT_FILES_H_
#define MERGANSER_COMMON_ENGINE_OUTPUT_FILES_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/auxiliary/auxiliary_files.h"

namespace merganser {

inline constexpr std::string_view kConfigKey = "config.json";
inline constexpr std::string_view kCardKey = "README.md";
inline constexpr std::string_view kRecipeKey = "merge_recipe.yaml";
inline constexpr std::string_view kReportKey = "merge_report.json";

struct OutputFiles {
  std::vector<AuxiliaryFile> copied;  // from models, which must outlive this
  // Keys and bytes, in the order in which they become visible, after those that are copied: the
  // report last, as whoever finds it takes the others to be there.
  std::vector<std::pair<std::string, std::string>> written;
};

// Two of the first lines of a report, by which an output is known again without parsing it.

// Whether `job` (RunFacts::job) made the report, which BuildReport wrote.
bool ReportIsOf(std::string_view report_json, std::string_view job);
// Whether a report that begins with `head` is of the merge whose plan has this digest.
bool ReportTellsPlan(std::string_view head, std::string_view plan_digest);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_OUTPUT_FILES_H_
