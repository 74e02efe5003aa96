#include "common/engine/output_files.h"

#include "absl/strings/str_cat.h"
#include "common/format/text.h"
#include "nlohmann/json.hpp"

namespace merganser {

// As report_build.cc writes them, a top-level member a line. No text holds the like: its line ends
// and quotes are escaped.

bool ReportIsOf(std::string_view report_json, std::string_view job) {
  using Json = nlohmann::json;
  const std::string name =
      ShownJson(Json(std::string(job)).dump(-1, ' ', false, Json::error_handler_t::replace));
  const std::string line = absl::StrCat("\n\"run\": {\"job\":", name, ",");
  return report_json.rfind(line) != std::string_view::npos;
}

bool ReportTellsPlan(std::string_view head, std::string_view plan_digest) {
  return head.find(absl::StrCat("\n\"plan\": \"", std::string(plan_digest), "\"")) !=
         std::string_view::npos;
}

}  // namespace merganser
