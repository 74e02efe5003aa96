#include "coordinator/cli/job_text.h"

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/format.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/format/text.h"

namespace merganser::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string TimeText(const std::optional<WallTime>& time) {
  return time.has_value() ? FormatWallTime(*time) : "";
}

std::string StateText(const JobInfo& job) {
  std::string text(JobStateName(job.state));
  if (job.cancelling && !IsTerminal(job.state)) text += " (cancelling)";
  return text;
}

Json ToJson(const JobInfo& job) {
  Json json;
  json["name"] = job.name;
  json["owner"] = job.owner;
  json["state"] = std::string(JobStateName(job.state));
  json["cancelling"] = job.cancelling;
  json["output_uri"] = job.request.output_uri;
  json["recipe_source"] = job.request.source_name;
  json["priority"] = job.request.priority;
  json["progress"] = {
      {"units_total", job.progress.units_total},   {"units_done", job.progress.units_done},
      {"bytes_total", job.progress.bytes_total},   {"bytes_done", job.progress.bytes_done},
      {"units_leased", job.progress.units_leased}, {"workers", job.progress.workers},
      {"retries", job.progress.retries},           {"detail", job.progress.detail}};
  json["create_time"] = TimeText(job.created);
  json["start_time"] = TimeText(job.started);
  json["finish_time"] = TimeText(job.finished);
  if (!job.error.ok()) {
    json["error"] = {{"code", absl::StatusCodeToString(job.error.code())},
                     {"reason", job.error_reason},
                     {"message", std::string(job.error.message())}};
  }
  json["warnings"] = job.warnings;
  json["events"] = Json::array();
  for (const JobEvent& event : job.events) {
    json["events"].push_back({{"time", FormatWallTime(event.time)}, {"text", event.text}});
  }
  json["report_summary"] = job.report_summary;
  return json;
}

std::string Dump(const Json& json) {
  return ShownJson(json.dump(1, ' ', false, Json::error_handler_t::replace)) + "\n";
}

}  // namespace

std::string JobText(const JobInfo& job) {
  const JobProgress& progress = job.progress;
  std::string text = absl::StrCat(OneLine(job.name), "\n");
  const auto line = [&](const char* key, const std::string& value) {
    if (!value.empty()) text += Formatted("  %-10s %s\n", key, value);
  };
  line("state", StateText(job));
  line("owner", job.owner);
  line("recipe", OneLine(job.request.source_name));
  line("output", OneLine(job.request.output_uri));
  if (job.request.priority != 0) line("priority", absl::StrCat(job.request.priority));
  if (progress.units_total > 0) {
    line("units", absl::StrCat(progress.units_done, " of ", progress.units_total, ", ",
                               progress.units_leased, " with ", progress.workers, " workers, ",
                               progress.retries, " retried"));
    line("bytes",
         absl::StrCat(FormatBytes(progress.bytes_done), " of ", FormatBytes(progress.bytes_total)));
  }
  line("waits for", OneLine(progress.detail));
  line("created", TimeText(job.created));
  line("started", TimeText(job.started));
  line("finished", TimeText(job.finished));
  for (const std::string& warning : job.warnings) line("warning", OneLine(warning));
  if (!job.error.ok()) line("error", OneLine(std::string(job.error.message())));
  if (!job.events.empty()) absl::StrAppend(&text, "\n");
  for (const JobEvent& event : job.events) {
    line(FormatWallTime(event.time).c_str(), OneLine(event.text));
  }
  if (!job.report_summary.empty()) absl::StrAppend(&text, "\n", ShownLines(job.report_summary));
  return text;
}

std::string JobTable(const std::vector<JobInfo>& jobs) {
  size_t name = 4, owner = 5;
  for (const JobInfo& job : jobs) {
    name = std::max(name, job.name.size());
    owner = std::max(owner, job.owner.size());
  }
  std::string text;
  const auto row = [&](const std::string& a, const std::string& b, const std::string& c,
                       const std::string& d, const std::string& e) {
    text += Formatted("%-*s  %-12s  %-*s  %-20s  %s\n", static_cast<int>(name), a, b,
                      static_cast<int>(owner), c, d, e);
  };
  row("job", "state", "owner", "created", "output");
  for (const JobInfo& job : jobs) {
    row(OneLine(job.name), StateText(job), OneLine(job.owner), TimeText(job.created),
        OneLine(job.request.output_uri));
  }
  return text;
}

std::string JobJson(const JobInfo& job) { return Dump(ToJson(job)); }

std::string JobListJson(const std::vector<JobInfo>& jobs) {
  Json json = Json::array();
  for (const JobInfo& job : jobs) json.push_back(ToJson(job));
  return Dump(json);
}

}  // namespace merganser::cli
