#include "coordinator/service/job_limits.h"

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"

namespace merganser {
namespace {

// Numbers, times and states, and the tags and lengths of them and of the single texts.
constexpr size_t kFixedBytes = 512;
constexpr size_t kBytesPerText = 32;  // of a repeated one: tags, lengths, a time

}  // namespace

void BoundTexts(JobInfo& info) {
  if (info.error.message().size() > kMaxErrorText) {
    info.error =
        absl::Status(info.error.code(), Cut(std::string(info.error.message()), kMaxErrorText));
  }
  info.report_summary = Cut(info.report_summary, kMaxSummaryText);
  info.progress.detail = Cut(info.progress.detail, kMaxDetailText);
  BoundWarnings(kMaxWarnings, info.warnings);
  info.method = Cut(info.method, kMaxMethodText);
  if (info.models.size() > kMaxModels) info.models.resize(kMaxModels);
  for (std::string& model : info.models) model = Cut(model, kMaxModelText);
}

void BoundWarnings(size_t most, std::vector<std::string>& warnings) {
  if (warnings.size() > most) {
    const size_t more = warnings.size() - (most - 1);
    warnings.resize(most);
    warnings.back() = absl::StrCat(more,
                                   " more warnings: `merganser plan` and the merged checkpoint's "
                                   "report list them all");
  }
  for (std::string& warning : warnings) warning = Cut(warning, kMaxWarningText);
}

size_t EncodedBytesAtMost(const JobInfo& info) {
  size_t bytes = kFixedBytes + info.name.size() + info.uid.size() + info.owner.size() +
                 info.request.recipe.size() + info.request.source_name.size() +
                 info.request.output_uri.size() + info.error.message().size() +
                 info.error_reason.size() + info.progress.detail.size() +
                 info.report_summary.size() + info.request.display_name.size() + info.method.size();
  for (const auto& [key, value] : info.request.labels) {
    bytes += key.size() + value.size() + kBytesPerText;
  }
  for (const std::string& model : info.models) bytes += model.size() + kBytesPerText;
  for (const std::string& directory : info.request.directories) {
    bytes += directory.size() + kBytesPerText;
  }
  for (const std::string& warning : info.warnings) bytes += warning.size() + kBytesPerText;
  for (const JobEvent& event : info.events) bytes += event.text.size() + kBytesPerText;
  return bytes;
}

}  // namespace merganser
