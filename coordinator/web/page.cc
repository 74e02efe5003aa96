#include "coordinator/web/page.h"

#include <string_view>

#include "absl/strings/str_cat.h"
#include "coordinator/web/assets.h"
#include "coordinator/web/encode.h"
#include "coordinator/web/page_data.h"

namespace merganser::web {
namespace {

std::string Source(const Asset& asset) {
  return absl::StrCat("'sha256-", Base64(FromHex(asset.sha256)), "'");
}

std::string Page(std::string_view title, std::string_view plain, std::string_view data) {
  const Asset script = PageScript(), style = PageStyle();
  std::string page = absl::StrCat(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src ",
      Source(script), "; style-src ", Source(style),
      "; base-uri 'none'; form-action 'none'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"referrer\" content=\"no-referrer\">\n<title>");
  page.reserve(page.size() + script.text.size() + style.text.size() + data.size() * 9 / 8);
  page += HtmlText(title);
  page += "</title>\n<style>";
  page += style.text;
  page += "</style>\n</head>\n<body>\n<main id=\"main\"></main>\n<noscript><pre>";
  page += HtmlText(plain);
  page += "</pre></noscript>\n<script type=\"application/json\" id=\"data\">";
  page += ScriptJson(data);
  page += "</script>\n<script type=\"module\">";
  page += script.text;
  page += "</script>\n</body>\n</html>\n";
  return page;
}

}  // namespace

std::string ReportPage(const ReadReport& read) {
  return Page(absl::StrCat(read.report.method.name, " of ", read.report.Experts(), " models"),
              SummaryText(read), ReportPageData(read));
}

std::string ComparisonPage(const ReadReport& a, const ReadReport& b, const Comparison& comparison) {
  return Page("Two merge reports", ComparisonText(a, b, comparison),
              ComparisonPageData(a, b, comparison));
}

}  // namespace merganser::web
