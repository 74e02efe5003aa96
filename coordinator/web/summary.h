// One report as a summary for people and for programs. The members of the JSON are listed in this
// folder's README. Pure.
#ifndef MERGANSER_COORDINATOR_WEB_SUMMARY_H_
#define MERGANSER_COORDINATOR_WEB_SUMMARY_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "coordinator/web/findings.h"
#include "coordinator/web/layout.h"
#include "coordinator/web/report_data.h"

namespace merganser::web {

// A report with what follows from it.
struct ReadReport {
  std::string output;  // where it was read from
  MergeReport report;
  Layout layout;
  Findings findings;
};

// ParseReport, and the rest of it.
absl::StatusOr<ReadReport> ReadReportText(std::string_view text, std::string_view output,
                                          std::string_view where);

// Some ten to thirty lines; no line holds anything that IsHidden.
std::string SummaryText(const ReadReport& read);
// One JSON object on one line; ASCII. Of the gates that fell back it lists the first `most`.
std::string SummaryJson(const ReadReport& read, size_t most);

}  // namespace merganser::web

#endif  // MERGANSER_COORDINATOR_WEB_SUMMARY_H_
