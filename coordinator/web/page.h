// Reports as one file that shows itself: no server, nothing from another host. Pure.
#ifndef MERGANSER_COORDINATOR_WEB_PAGE_H_
#define MERGANSER_COORDINATOR_WEB_PAGE_H_

#include <string>

#include "coordinator/web/comparison.h"
#include "coordinator/web/summary.h"

namespace merganser::web {

// HTML with one script, one style sheet and the data. A browser runs no other script and loads
// nothing, whatever names the report holds: the page's content security policy has the hashes of
// the two, all data is JSON in a block that is no script, and the script makes text of it only.
// Where scripts are off it shows what SummaryText says.
std::string ReportPage(const ReadReport& read);
std::string ComparisonPage(const ReadReport& a, const ReadReport& b, const Comparison& comparison);

}  // namespace merganser::web

#endif  // MERGANSER_COORDINATOR_WEB_PAGE_H_
