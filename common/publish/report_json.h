// How the report's JSON is written. Private to this folder.
#ifndef MERGANSER_COMMON_PUBLISH_REPORT_JSON_H_
#define MERGANSER_COMMON_PUBLISH_REPORT_JSON_H_

#include <string>

#include "nlohmann/json_fwd.hpp"

namespace merganser {

// Whole numbers are written without a fraction, NaN and infinities as null
// (JSON has no other word), all else with the digits that bring it back exactly.
nlohmann::ordered_json ReportNumber(double value);

// Microseconds are more than a clock in a busy process is good for.
nlohmann::ordered_json ReportSeconds(double seconds);

// One line a top-level member, and one an element of its long lists: small, yet
// fit for diff and grep.
class ReportWriter {
 public:
  void Member(const char* key, const nlohmann::ordered_json& value);
  void BeginList(const char* key);
  void Element(const nlohmann::ordered_json& value);
  void EndList();
  std::string Take();

 private:
  void Key(const char* key);

  std::string text_;
  bool first_ = true;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_PUBLISH_REPORT_JSON_H_
