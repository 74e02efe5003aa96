#include "coordinator/service/job_log.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/plan/plan_text.h"

namespace merganser {
namespace {

std::string Done(const JobProgress& progress) {
  if (progress.units_total == 0) return "";
  return absl::StrCat(", with ", progress.units_done, " of ", progress.units_total, " units and ",
                      FormatBytes(progress.bytes_done), " done");
}

std::string StateText(const JobInfo& job) {
  switch (job.state) {
    case JobState::kQueued:
      return "is queued";
    case JobState::kPlanning:
      return "is being planned";
    case JobState::kRunning:
      return "is running";
    case JobState::kPublishing:
      return "is being published";
    case JobState::kSucceeded:
      return absl::StrCat("has succeeded", Done(job.progress));
    case JobState::kCancelled:
      return absl::StrCat("was cancelled", Done(job.progress));
    case JobState::kFailed:
      return absl::StrCat("has failed: ", job.error.message());
  }
  return "is in an unknown state";
}

LogLine StateLine(const JobInfo& job) {
  LogLine line{job.state == JobState::kFailed ? LogLevel::kError : LogLevel::kInfo,
               StateText(job),
               {{"job", job.name}, {"state", JobStateName(job.state)}}};
  if (job.state == JobState::kFailed) {
    line.fields.emplace_back("code", absl::StatusCodeToString(job.error.code()));
    line.fields.emplace_back("reason", job.error_reason);
  }
  return line;
}

}  // namespace

LogLine SubmittedLine(const JobInfo& job) {
  return {LogLevel::kInfo,
          "submitted",
          {{"job", job.name},
           {"owner", job.owner},
           {"output", job.request.output_uri},
           {"priority", job.request.priority}}};
}

LogLine CallerLine(const JobInfo& job, std::string_view what, std::string_view by) {
  return {LogLevel::kInfo,
          absl::StrCat(std::string(what), " by ", std::string(by)),
          {{"job", job.name}, {"owner", job.owner}, {"state", JobStateName(job.state)}}};
}

std::vector<LogLine> ChangeLines(const JobInfo& before, const JobInfo& after) {
  std::vector<LogLine> lines;
  for (size_t i = before.warnings.size(); i < after.warnings.size(); ++i) {
    lines.push_back(JobLine(LogLevel::kWarn, after, after.warnings[i]));
  }
  if (after.state != before.state) lines.push_back(StateLine(after));
  return lines;
}

LogLine UnitTroubleLine(const JobInfo& job, const UnitTrouble& trouble, const Plan* plan) {
  std::vector<LogField> fields = {{"job", job.name}};
  if (plan != nullptr && plan->rounds > 1) fields.emplace_back("round", trouble.round + 1);
  fields.emplace_back("unit", trouble.unit);
  if (plan != nullptr) fields.emplace_back("tensor", UnitTensorsText(*plan, trouble.unit));
  fields.emplace_back("worker", trouble.worker);
  fields.emplace_back("code", absl::StatusCodeToString(trouble.why.code()));
  return {LogLevel::kWarn,
          absl::StrCat(trouble.reported ? "unit failed: " : "unit lost: ", trouble.why.message()),
          std::move(fields)};
}

LogLine JobLine(LogLevel level, const JobInfo& job, std::string message) {
  return {level, std::move(message), {{"job", job.name}}};
}

}  // namespace merganser
