#include "coordinator/http/api/large.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/http/site/text.h"
#include "coordinator/web/assets.h"
#include "coordinator/web/encode.h"
#include "nlohmann/json.hpp"
#include "proto/convert/status_codec.h"

namespace merganser::http {
namespace {

constexpr LargeRoute kRoutes[] = {
    {"/jobs/*/picture",
     "GetJobPicture",
     "application/json",
     {"since", ""},
     false,
     "What is measured so far of a job that runs, or what its report says: `version`, `complete`, "
     "`units_measured`, and `page` for the pages' own use, left out where `since` is the newest."},
    {"/jobs/*/report",
     "GetJobReport",
     "application/json",
     {},
     false,
     "The merge_report.json of a job that succeeded, read from its output."},
    {"/jobs/*/report.html",
     "GetJobReportPage",
     "text/html",
     {"inline", ""},
     false,
     "The same as a page that is one file; to be looked at rather than kept where `inline` is "
     "true."},
    {"/compare",
     "CompareJobs",
     "application/json",
     {"a", "b"},
     true,
     "Two reports side by side, by jobs' names, for the pages' own use."},
};

std::string HashSource(const web::Asset& asset) {
  return absl::StrCat("'sha256-", web::Base64(web::FromHex(asset.sha256)), "'");
}

Response Picture(JobPictures& pictures, const std::string& name, const std::string& since) {
  const absl::StatusOr<JobPicture> picture = pictures.Picture(name, since);
  if (!picture.ok()) return ErrorResponse(picture.status());
  std::string text = absl::StrCat("{\"version\":", nlohmann::json(picture->version).dump(),
                                  ",\"complete\":", picture->complete ? "true" : "false",
                                  ",\"units_measured\":\"", picture->units_measured, "\"");
  if (picture->page != nullptr) {
    text.reserve(text.size() + picture->page->size() + 16);
    text.append(",\"page\":").append(*picture->page);
  }
  return JsonResponse(text.append("}"));
}

Response ReportPage(JobPictures& pictures, const std::string& name, bool to_look_at) {
  absl::StatusOr<std::string> page = pictures.ReportPage(name);
  if (!page.ok()) return ErrorResponse(page.status());
  Response response;
  response.body = *std::move(page);
  response.headers = {{"Content-Type", "text/html; charset=utf-8"}, {"Cache-Control", "no-store"}};
  if (to_look_at) {
    // Its script and style stand in it; whatever it holds, it is no page of this site's.
    response.headers.emplace_back(
        "Content-Security-Policy",
        absl::StrCat("default-src 'none'; script-src ", HashSource(web::PageScript()),
                     "; style-src ", HashSource(web::PageStyle()),
                     "; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox "
                     "allow-scripts"));
    return response;
  }
  // Of the name that a job has here, letters, digits and dashes alone.
  std::string file = name.substr(name.rfind('/') + 1);
  std::erase_if(file, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; });
  response.headers.emplace_back("Content-Disposition",
                                absl::StrCat("attachment; filename=\"merge-", file, ".html\""));
  return response;
}

}  // namespace

std::span<const LargeRoute> LargeRoutes() { return kRoutes; }

Response AnswerLarge(const LargeRoute& route, JobPictures& pictures, const std::string& name,
                     std::string_view query) {
  const auto pairs = ParseQuery(query);
  if (!pairs.ok()) return ErrorResponse(pairs.status());
  std::map<std::string, std::string> given;
  for (const auto& [key, value] : *pairs) {
    const bool known = !key.empty() && std::find(route.parameters.begin(), route.parameters.end(),
                                                 key) != route.parameters.end();
    if (!known || !given.emplace(key, value).second) {
      return ErrorResponse(ReasonedError(absl::StatusCode::kInvalidArgument, "QUERY_INVALID",
                                         "found a parameter that is none of this request's, or one "
                                         "twice"));
    }
  }
  if (route.id == "GetJobPicture") return Picture(pictures, name, given["since"]);
  if (route.id == "GetJobReportPage") return ReportPage(pictures, name, given["inline"] == "true");
  if (route.id == "GetJobReport") {
    const absl::StatusOr<std::shared_ptr<const std::string>> report = pictures.Report(name);
    return report.ok() ? JsonResponse(**report) : ErrorResponse(report.status());
  }
  absl::StatusOr<std::string> both = pictures.Comparison(given["a"], given["b"]);
  return both.ok() ? JsonResponse(*std::move(both)) : ErrorResponse(both.status());
}

}  // namespace merganser::http
