// A report as a page carries it: compact, so that 45,000 tensors make about 4 MB. Pure.
//
// Names are patterns and numbers (layout.h); what all tensors of a kind share stands once; every
// measurement is a column of base64 (float32, or whole numbers of one or two bytes), which the page
// decodes when it shows it. NaN, or the largest whole number, is "not measured".
#ifndef MERGANSER_COORDINATOR_WEB_PAGE_DATA_H_
#define MERGANSER_COORDINATOR_WEB_PAGE_DATA_H_

#include <cstddef>
#include <string>

#include "coordinator/web/comparison.h"
#include "coordinator/web/summary.h"

namespace merganser::web {

// Bytes of columns in one page. What does not fit is left out, the least important first, and the
// page says so.
inline constexpr size_t kColumnBytes = size_t{4} << 20;

// JSON text, ASCII, on one line. Members: pages/data.js reads them, and says which.
std::string ReportPageData(const ReadReport& read, size_t column_bytes = kColumnBytes);
std::string ComparisonPageData(const ReadReport& a, const ReadReport& b,
                               const Comparison& comparison, size_t column_bytes = kColumnBytes);

}  // namespace merganser::web

#endif  // MERGANSER_COORDINATOR_WEB_PAGE_DATA_H_
