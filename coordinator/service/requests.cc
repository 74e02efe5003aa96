#include "coordinator/service/requests.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/base/utf8.h"
#include "common/methods/registry.h"
#include "common/plan/pieces.h"
#include "common/recipe/recipe.h"
#include "common/recipe/recipe_place.h"
#include "common/storage/stores.h"
#include "common/storage/uri.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

constexpr char kJobPrefix[] = "jobs/";
constexpr size_t kMaxRequestId = 128;
constexpr size_t kMaxUid = 63;
// What clients are told: a disk is seldom full for less, nor a queue.
constexpr std::chrono::seconds kRetryRecord(5);
constexpr size_t kMaxPath = 4096;
constexpr size_t kMaxDirectories = 8;
constexpr int32_t kMaxPriority = 1000;
constexpr size_t kMaxDisplayName = 128;  // characters, as of a label's value
constexpr size_t kMaxLabelValue = 63;
constexpr size_t kMaxLabels = 16;

// `field` of the request is wrong. Messages begin with its name.
absl::Status Invalid(std::string_view reason, std::string_view field, const std::string& message,
                     std::map<std::string, std::string> metadata = {}) {
  metadata.emplace("field", field);
  return ReasonedError(absl::StatusCode::kInvalidArgument, reason, message, metadata);
}

std::string Quote(const std::string& text) { return absl::StrCat("\"", Shown(text), "\""); }

// Whether `text` is at most `most` characters of UTF-8 that all show.
bool IsPrintable(std::string_view text, size_t most) {
  for (size_t characters = 0; !text.empty(); ++characters) {
    const Utf8Character next = FirstCharacter(text);
    if (next.bytes == 0 || IsHidden(next.point) || characters == most) return false;
    text.remove_prefix(next.bytes);
  }
  return true;
}

absl::Status CheckNames(const JobRequest& request) {
  if (!IsPrintable(request.display_name, kMaxDisplayName)) {
    return Invalid("DISPLAY_NAME_INVALID", "display_name",
                   absl::StrCat("display_name: found ", Quote(request.display_name),
                                ", expected at most ", kMaxDisplayName, " printable characters"));
  }
  if (request.labels.size() > kMaxLabels) {
    return Invalid(
        "LABELS_INVALID", "labels",
        absl::StrCat("labels: found ", request.labels.size(), ", expected at most ", kMaxLabels),
        {{"limit", absl::StrCat(kMaxLabels)}});
  }
  for (const auto& [key, value] : request.labels) {
    if (!IsLabelKey(key)) {
      return Invalid("LABELS_INVALID", "labels",
                     absl::StrCat("labels: found the key ", Quote(key),
                                  ", expected a small letter and at most 62 small letters, digits, "
                                  "'_' and '-' behind it"));
    }
    if (!IsPrintable(value, kMaxLabelValue)) {
      return Invalid("LABELS_INVALID", "labels",
                     absl::StrCat("labels: found ", Quote(value), " for ", key,
                                  ", expected at most ", kMaxLabelValue, " printable characters"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

bool IsLabelKey(std::string_view text) {
  constexpr size_t kMaxLabelKey = 63;
  const auto letter = [](char c) { return c >= 'a' && c <= 'z'; };
  return !text.empty() && text.size() <= kMaxLabelKey && letter(text[0]) &&
         std::all_of(text.begin(), text.end(), [&](char c) {
           return letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-';
         });
}

std::map<std::string, std::string> RecipeMetadata(const absl::Status& wrong) {
  std::map<std::string, std::string> metadata = {{"field", "recipe"}};
  const RecipePlace place = PlaceOf(wrong);
  if (place.line > 0) metadata["line"] = absl::StrCat(place.line);
  if (!place.key.empty()) metadata["key"] = place.key;
  return metadata;
}

absl::Status CheckPriority(int32_t priority) {
  if (priority >= -kMaxPriority && priority <= kMaxPriority) return absl::OkStatus();
  return Invalid("PRIORITY_INVALID", "priority",
                 absl::StrCat("priority: found ", priority, ", expected ", -kMaxPriority, " to ",
                              kMaxPriority));
}

absl::Status CheckJobRequest(const JobRequest& request, const std::string& request_id) {
  if (request.recipe.size() > kMaxRecipeBytes) {
    return Invalid("RECIPE_TOO_LARGE", "recipe",
                   absl::StrCat("recipe: found ", FormatBytes(request.recipe.size()),
                                ", expected at most ", FormatBytes(kMaxRecipeBytes)),
                   {{"limit", absl::StrCat(kMaxRecipeBytes)}});
  }
  if (request.source_name.size() > kMaxPath) {
    return Invalid("RECIPE_INVALID", "recipe_source",
                   absl::StrCat("recipe_source: found ", Quote(request.source_name),
                                ", expected a file name"));
  }
  const absl::StatusOr<Recipe> recipe = ParseRecipe(request.recipe, request.source_name);
  if (const absl::Status valid = recipe.ok() ? CheckMethod(*recipe) : recipe.status();
      !valid.ok()) {
    return ReasonedError(valid.code(), "RECIPE_INVALID", std::string(valid.message()),
                         RecipeMetadata(valid));
  }
  const absl::StatusOr<Uri> output = ParseUri(request.output_uri);
  if (request.output_uri.empty() || request.output_uri.size() > kMaxPath || !output.ok() ||
      (output->scheme == "file" && !absl::StartsWith(output->path, "/"))) {
    const bool reasoned =
        !request.output_uri.empty() && request.output_uri.size() <= kMaxPath && !output.ok();
    return Invalid("OUTPUT_INVALID", "output_uri",
                   reasoned
                       ? absl::StrCat("output_uri: ", std::string(output.status().message()))
                       : absl::StrCat("output_uri: found ", Quote(request.output_uri),
                                      ", expected an absolute path or a URI such as file:///path"));
  }
  // Every process would have one of its own.
  if (output->scheme == "memory") {
    return Invalid("OUTPUT_INVALID", "output_uri",
                   absl::StrCat("output_uri: found ", Quote(request.output_uri),
                                ", expected storage that the coordinator and all workers share"));
  }
  const absl::StatusOr<StoreTraits> traits = Stores().TraitsOf(request.output_uri);
  absl::Status usable = traits.status();
  if (traits.ok()) usable = Annotate(CheckOutputTraits(*traits), Shown(request.output_uri));
  if (!usable.ok()) {
    return Invalid("OUTPUT_INVALID", "output_uri",
                   absl::StrCat("output_uri: ", std::string(usable.message())));
  }
  if (request.directories.empty() || request.directories.size() > kMaxDirectories) {
    return Invalid("DIRECTORY_INVALID", "directories",
                   absl::StrCat("directories: found ", request.directories.size(),
                                ", expected 1 to ", kMaxDirectories));
  }
  for (const std::string& directory : request.directories) {
    if (absl::StartsWith(directory, "/") && directory.size() <= kMaxPath) continue;
    return Invalid("DIRECTORY_INVALID", "directories",
                   absl::StrCat("directories: found ", Quote(directory),
                                ", expected absolute paths: relative models of the recipe are "
                                "looked for there"));
  }
  MERGANSER_RETURN_IF_ERROR(CheckPriority(request.priority));
  MERGANSER_RETURN_IF_ERROR(CheckNames(request));
  const bool printable = std::all_of(request_id.begin(), request_id.end(),
                                     [](unsigned char c) { return c > 0x20 && c < 0x7f; });
  if (request_id.size() > kMaxRequestId || !printable) {
    return Invalid("REQUEST_ID_INVALID", "request_id",
                   absl::StrCat("request_id: found ", Quote(request_id), ", expected at most ",
                                kMaxRequestId, " printable characters without spaces"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ParseJobName(const std::string& name) {
  std::string uid = absl::StartsWith(name, kJobPrefix) ? name.substr(sizeof(kJobPrefix) - 1) : "";
  const bool valid =
      !uid.empty() && uid.size() <= kMaxUid && std::all_of(uid.begin(), uid.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
      });
  if (!valid) {
    return Invalid("JOB_NAME_INVALID", "name",
                   absl::StrCat("name: found ", Quote(name),
                                ", expected the form jobs/{id} that submit "
                                "printed"));
  }
  return uid;
}

std::string JobName(const std::string& uid) { return absl::StrCat(kJobPrefix, uid); }

absl::StatusOr<int> CoercePageSize(int page_size) {
  if (page_size < 0) {
    return Invalid("PAGE_SIZE_INVALID", "page_size",
                   absl::StrCat("page_size: found ", page_size, ", expected at least 0"));
  }
  return page_size == 0 ? kDefaultPageSize : std::min(page_size, kMaxPageSize);
}

absl::Status CheckOwner(const JobInfo& job, const Caller& caller) {
  if (caller.roles.Allows(Role::kAdmin)) return absl::OkStatus();
  if (!job.owner.empty() && job.owner == caller.name) return absl::OkStatus();
  const std::string whose =
      job.owner.empty()
          ? "a job from before owners were on record, expected a token"
          : absl::StrCat("a job of ", job.owner, ", expected its owner's token, or one");
  return ReasonedError(absl::StatusCode::kPermissionDenied, "NOT_OWNER",
                       absl::StrCat(job.name, ": found ", whose,
                                    " with the role admin; this token is ", caller.name, "'s"),
                       {{"job", job.name}, {"owner", job.owner}});
}

absl::Status RequestReused(const std::string& request_id, const std::string& uid, bool own) {
  return ReasonedError(
      absl::StatusCode::kAlreadyExists, "REQUEST_ID_REUSED",
      absl::StrCat("request_id \"", request_id, "\" made ", JobName(uid),
                   own ? " from another request" : " for somebody else", "; use a fresh one"),
      {{"job", JobName(uid)}});
}

absl::Status RequestSpent(const SpentRequest& spent) {
  return ReasonedError(
      absl::StatusCode::kAlreadyExists, "REQUEST_ID_SPENT",
      absl::StrCat("request_id \"", spent.request_id, "\" made ", JobName(spent.job),
                   ", which ended as ", std::string(JobStateName(spent.state)),
                   " and is no longer on record; look at its output, or use a fresh one to run it "
                   "again"),
      {{"job", JobName(spent.job)}, {"state", std::string(JobStateName(spent.state))}});
}

absl::Status JobNotFound(const std::string& name) {
  return ReasonedError(absl::StatusCode::kNotFound, "JOB_NOT_FOUND",
                       absl::StrCat(Shown(name),
                                    ": there is no such job (list shows those there are; old "
                                    "finished jobs and those of an earlier coordinator are "
                                    "forgotten)"),
                       {{"job", name}});
}

absl::Status NotRecorded(const absl::Status& status) {
  return RetryAfter(
      ReasonedError(absl::StatusCode::kUnavailable, "NOT_RECORDED",
                    absl::StrCat("the coordinator cannot record it now, so it was not done: ",
                                 OneLine(std::string(status.message())), "; try again")),
      kRetryRecord);
}

absl::Status CoordinatorStopping() {
  return RetryAfter(ReasonedError(absl::StatusCode::kUnavailable, "COORDINATOR_STOPPING",
                                  "the coordinator is shutting down; try again when it is back"),
                    std::chrono::seconds(5));
}

bool IsCoordinatorStopping(const absl::Status& status) {
  return ReasonOf(status) == "COORDINATOR_STOPPING";
}

}  // namespace merganser
