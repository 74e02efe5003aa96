// Where a report goes that people look at.
#ifndef MERGANSER_COORDINATOR_CLI_REPORT_OUTPUT_H_
#define MERGANSER_COORDINATOR_CLI_REPORT_OUTPUT_H_

#include <string>

namespace merganser::cli {

// Puts `page` into the file `html`, if one is named, and prints `text`; "-" is stdout, and then
// nothing else goes there. The exit code.
int ShowReport(const std::string& text, const std::string& html, const std::string& page);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_REPORT_OUTPUT_H_
