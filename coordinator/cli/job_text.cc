#include "coordinator/cli/job_text.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
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

constexpr size_t kNameColumn = 48;  // bytes of a name in a table

std::string TimeText(const std::optional<WallTime>& time) {
  return time.has_value() ? FormatWallTime(*time) : "";
}

std::string StateText(const JobInfo& job) {
  std::string text(JobStateName(job.state));
  if (job.cancelling && !IsTerminal(job.state)) text += " (cancelling)";
  return text;
}

// "45s", "12m", "3h", "20d": since when, at a glance.
std::string AgeText(const std::optional<WallTime>& since, WallTime now) {
  if (!since.has_value()) return "";
  const auto seconds =
      std::max<int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(now - *since).count());
  if (seconds < 60) return absl::StrCat(seconds, "s");
  if (seconds < 3600) return absl::StrCat(seconds / 60, "m");
  if (seconds < 48 * 3600) return absl::StrCat(seconds / 3600, "h");
  return absl::StrCat(seconds / 86400, "d");
}

// What `text` takes of a line, where no character is wide.
size_t Columns(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) >> 6) != 2; }));
}

Json ToJson(const JobInfo& job) {
  Json json;
  json["name"] = job.name;
  json["display_name"] = job.request.display_name;
  json["labels"] = job.request.labels;
  json["owner"] = job.owner;
  json["state"] = std::string(JobStateName(job.state));
  json["cancelling"] = job.cancelling;
  json["output_uri"] = job.request.output_uri;
  json["recipe_source"] = job.request.source_name;
  json["method"] = job.method;
  json["models"] = job.models;
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

// `indent` -1: on one line.
std::string Dump(const Json& json, int indent = 1) {
  return ShownJson(json.dump(indent, ' ', false, Json::error_handler_t::replace)) + "\n";
}

}  // namespace

std::string JobText(const JobInfo& job) {
  const JobProgress& progress = job.progress;
  std::string text = absl::StrCat(OneLine(job.name), "\n");
  const auto line = [&](const char* key, const std::string& value) {
    if (!value.empty()) text += Formatted("  %-10s %s\n", key, value);
  };
  line("state", StateText(job));
  line("name", OneLine(job.request.display_name));
  line("owner", job.owner);
  line("recipe", OneLine(job.request.source_name));
  line("method", OneLine(job.method));
  for (const std::string& model : job.models) line("model", OneLine(model));
  line("output", OneLine(job.request.output_uri));
  for (const auto& [key, value] : job.request.labels) {
    line("label", OneLine(absl::StrCat(key, "=", value)));
  }
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

std::string JobTable(const std::vector<JobInfo>& jobs, WallTime now) {
  std::vector<std::array<std::string, 6>> rows = {
      {"job", "name", "state", "owner", "age", "output"}};
  for (const JobInfo& job : jobs) {
    rows.push_back({OneLine(job.name), Cut(OneLine(ShownName(job.request)), kNameColumn),
                    StateText(job), OneLine(job.owner), AgeText(job.created, now),
                    OneLine(job.request.output_uri)});
  }
  std::array<size_t, 6> widths = {};
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Columns(row[i]));
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i + 1 < row.size(); ++i) {
      absl::StrAppend(&text, row[i], std::string(widths[i] - Columns(row[i]) + 2, ' '));
    }
    absl::StrAppend(&text, row.back(), "\n");
  }
  return text;
}

std::string JobJson(const JobInfo& job) { return Dump(ToJson(job)); }

std::string JobLine(const JobInfo& job) { return Dump(ToJson(job), /*indent=*/-1); }

std::string FullJobName(const std::string& job) {
  return job.find('/') == std::string::npos ? absl::StrCat("jobs/", job) : job;
}

std::string JobListJson(const std::vector<JobInfo>& jobs) {
  Json json = Json::array();
  for (const JobInfo& job : jobs) json.push_back(ToJson(job));
  return Dump(json);
}

}  // namespace merganser::cli
