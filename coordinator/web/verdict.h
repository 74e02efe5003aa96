// The sentences that open a report. Their thresholds are listed in this folder's README. Pure.
#ifndef MERGANSER_COORDINATOR_WEB_VERDICT_H_
#define MERGANSER_COORDINATOR_WEB_VERDICT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/web/findings.h"
#include "coordinator/web/layout.h"
#include "coordinator/web/report_data.h"

namespace merganser::web {

// From the numbers of `found`, whose sentences are not looked at. At least two; names of models
// stand in them as they are in the report.
std::vector<std::string> Verdict(const MergeReport& report, const Layout& layout,
                                 const Findings& found);

// "63 %", "<1 %", "0 %".
std::string Percent(double share);
// "feed-forward" for "ffn"; the empty family is "other".
std::string FamilyWord(const std::string& family);
// "10,432"
std::string Commas(uint64_t number);
// "1 tensor", "2,000 tensors".
std::string Counted(size_t count, const std::string& word);

}  // namespace merganser::web

#endif  // MERGANSER_COORDINATOR_WEB_VERDICT_H_
