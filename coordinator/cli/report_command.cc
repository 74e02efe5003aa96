// `merganser report`: what a merge's report says, as text, JSON or a page; and two side by side.
#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/checkpoint/checkpoint.h"
#include "common/engine/claim.h"
#include "common/prepare/prepare.h"
#include "common/publish/report.h"
#include "common/storage/read_whole.h"
#include "common/storage/stores.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/report_output.h"
#include "coordinator/cli/store_flags.h"
#include "coordinator/web/comparison.h"
#include "coordinator/web/page.h"
#include "coordinator/web/summary.h"

namespace merganser::cli {
namespace {

struct ReportFlags {
  std::string output;
  std::string other;  // empty, or the second of two outputs to hold against each other
  std::string html;   // file for a page; "-" is stdout, and then nothing else goes there
  bool json = false;
  StoreOptions storage;
};

// Why there is no report at `uri`: somebody is at work on it, or nobody ever was.
absl::Status NoReport(ObjectStore& store) {
  const std::string where = OneLine(store.Describe(kReportKey));
  const absl::StatusOr<std::optional<ClaimRecord>> claim = ReadClaim(store);
  if (claim.ok() && claim->has_value()) {
    return absl::UnavailableError(
        absl::StrCat(where, ": there is no report yet: ", OneLine((*claim)->job),
                     " is at work on this output since ", OneLine((*claim)->started), " on host ",
                     OneLine((*claim)->host),
                     "; ask again when it is done, or go on with it by --resume if it is dead"));
  }
  return absl::NotFoundError(absl::StrCat(
      where, ": there is no report; expected the output of a merge by merganser that has ended"));
}

absl::StatusOr<web::ReadReport> ReadReportAt(const Stores& stores, const std::string& output) {
  MERGANSER_ASSIGN_OR_RETURN(const std::string uri,
                             ResolveModel(output, RecipeDirectories("").front()));
  MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<ObjectStore> store, stores.Open(uri));
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> text,
                             ReadWhole(*store, kReportKey, web::kMaxReportBytes));
  if (!text) return NoReport(*store);
  return web::ReadReportText(*text, uri, store->Describe(kReportKey));
}

// A report that is damaged is no wrong request, and neither is storage that fails.
int FailReading(const absl::Status& status) {
  return Fail(status, absl::IsDataLoss(status) ? Phase::kRunning : Phase::kPlanning);
}

int Run(const ReportFlags& flags) {
  const Stores stores(flags.storage);
  const absl::StatusOr<web::ReadReport> first = ReadReportAt(stores, flags.output);
  if (!first.ok()) return FailReading(first.status());
  std::string text, page;
  if (flags.other.empty()) {
    text = flags.json ? web::SummaryJson(*first, first->findings.fell_back.size()) + "\n"
                      : web::SummaryText(*first);
    if (!flags.html.empty()) page = web::ReportPage(*first);
  } else {
    const absl::StatusOr<web::ReadReport> second = ReadReportAt(stores, flags.other);
    if (!second.ok()) return FailReading(second.status());
    const web::Comparison comparison = web::Compare(*first, *second);
    text = flags.json ? web::ComparisonJson(comparison) + "\n"
                      : web::ComparisonText(*first, *second, comparison);
    if (!flags.html.empty()) page = web::ComparisonPage(*first, *second, comparison);
  }
  return ShowReport(text, flags.html, page);
}

}  // namespace

void AddReport(Commands& commands) {
  const auto flags = std::make_shared<ReportFlags>();
  CLI::App& command =
      commands.Add("report", "Say what a merge's report says, or what differs between two",
                   [flags] { return Run(*flags); });
  command.add_option("OUTPUT", flags->output, "Folder or URI of a merged checkpoint")->required();
  command.add_option("OTHER", flags->other, "Another one, to hold the first against");
  command.add_option("--html", flags->html,
                     "Write a page that needs nothing else to this file; - is stdout");
  command.add_flag("--json", flags->json, "Print JSON");
  AddReadStoreFlags(command, flags->storage);
}

}  // namespace merganser::cli
