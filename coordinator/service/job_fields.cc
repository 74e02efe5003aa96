#include "coordinator/service/job_fields.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/edit_distance.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

constexpr std::array<std::pair<std::string_view, JobField>, 13> kFields = {{
    {"state", JobField::kState},
    {"owner", JobField::kOwner},
    {"display_name", JobField::kDisplayName},
    {"method", JobField::kMethod},
    {"models", JobField::kModels},
    {"output_uri", JobField::kOutputUri},
    {"recipe_source", JobField::kRecipeSource},
    {"priority", JobField::kPriority},
    {"name", JobField::kName},
    {"create_time", JobField::kCreateTime},
    {"start_time", JobField::kStartTime},
    {"finish_time", JobField::kFinishTime},
    {"labels", JobField::kLabels},
}};

}  // namespace

std::optional<JobField> JobFieldNamed(std::string_view name) {
  for (const auto& [known, field] : kFields) {
    if (known == name) return field;
  }
  return std::nullopt;
}

std::string_view JobFieldName(JobField field) {
  for (const auto& [name, known] : kFields) {
    if (known == field) return name;
  }
  return "";
}

std::string_view JobTextOf(JobField field, const JobInfo& job) {
  switch (field) {
    case JobField::kOwner:
      return job.owner;
    case JobField::kDisplayName:
      return ShownName(job.request);
    case JobField::kMethod:
      return job.method;
    case JobField::kOutputUri:
      return job.request.output_uri;
    case JobField::kRecipeSource:
      return job.request.source_name;
    case JobField::kName:
      return job.name;
    default:
      return "";
  }
}

std::optional<WallTime> JobTimeOf(JobField field, const JobInfo& job) {
  if (field == JobField::kCreateTime) return job.created;
  return field == JobField::kStartTime ? job.started : job.finished;
}

std::string KnownHere(std::string_view word, std::span<const std::string_view> known) {
  // What is as long as a page is nobody's typing error, and costs time to compare.
  constexpr size_t kLongest = 64;
  std::string_view nearest;
  size_t best = std::min(word.size(), kLongest);
  for (const std::string_view name : known) {
    if (word.size() > kLongest) break;
    const size_t distance = EditDistance(word, name);
    if (distance >= best) continue;
    best = distance;
    nearest = name;
  }
  if (!nearest.empty() && best <= std::max<size_t>(2, nearest.size() / 2)) {
    return absl::StrCat("; did you mean '", std::string(nearest), "'?");
  }
  std::string text = "; known here: ";
  for (const std::string_view name : known) {
    absl::StrAppend(&text, name == known.front() ? "" : ", ", std::string(name));
  }
  return text;
}

absl::Status SyntaxError(std::string_view reason, std::string_view field, size_t at,
                         std::string_view found, std::string_view expected) {
  return ReasonedError(absl::StatusCode::kInvalidArgument, reason,
                       absl::StrCat(std::string(field), ": at ", at + 1, ": found ",
                                    std::string(found), ", expected ", std::string(expected)),
                       {{"field", std::string(field)}, {"position", absl::StrCat(at + 1)}});
}

}  // namespace merganser
