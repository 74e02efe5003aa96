#include "coordinator/web/summary.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/bytes.h"
#include "common/base/format.h"
#include "common/base/status.h"
#include "common/publish/numbers.h"
#include "coordinator/web/verdict.h"

namespace merganser::web {
namespace {

// How many of a list the text tells; --json has all.
constexpr size_t kTold = 8;

void Line(std::string_view label, std::string_view value, std::string& out) {
  absl::StrAppend(&out, Formatted("%-18s ", std::string(label)), OneLine(value), "\n");
}

std::string Seconds(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "not recorded";
  if (seconds < 0.0995) return Formatted("%.2g ms", seconds * 1e3);
  if (seconds < 9.95) return Formatted("%.2g s", seconds);
  if (seconds < 99.5) return Formatted("%.0f s", seconds);
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 3600) return Formatted("%d min %d s", whole / 60, whole % 60);
  return Formatted("%d h %d min", whole / 3600, whole % 3600 / 60);
}

std::string ParametersText(const ReportedParameters& parameters) {
  std::vector<std::string> words;
  for (const auto& [key, value] : parameters) words.push_back(absl::StrCat(key, " ", value));
  return absl::StrJoin(words, ", ");
}

void ToldModels(const MergeReport& report, std::string& out) {
  size_t told = 0;
  for (const ReportedModel& model : report.models) {
    uint64_t bytes = 0;
    for (const ReportedFile& file : model.files) bytes += file.size;
    if (told++ == 2 * kTold) {
      Line("", absl::StrCat("and ", report.models.size() - 2 * kTold, " more"), out);
      return;
    }
    Line(told == 1 ? "models" : "",
         absl::StrCat(model.base ? "base    " : "expert  ", model.model, "  (",
                      Counted(model.files.size(), "file"), ", ", FormatBytes(bytes), ")"),
         out);
    if (!model.stored_as.empty()) Line("", absl::StrCat("  stored as ", model.stored_as), out);
    for (size_t i = 0; i < std::min(kTold, model.adapters.size()); ++i) {
      Line("", absl::StrCat("  adapter ", model.adapters[i]), out);
    }
    if (model.adapters.size() > kTold) {
      Line("", absl::StrCat("  and ", model.adapters.size() - kTold, " more adapters"), out);
    }
  }
}

// Of a list whose first was told, the next ones and how many are left.
void ToldRest(const std::vector<std::string>& texts, std::string& out) {
  for (size_t i = 1; i < std::min(kTold, texts.size()); ++i) Line("", texts[i], out);
  if (texts.size() > kTold) {
    Line("", absl::StrCat("and ", texts.size() - kTold, " more (--json, --html)"), out);
  }
}

void ToldModes(const Findings& found, std::string& out) {
  for (const ModeTotal& total : found.modes) {
    Line("",
         absl::StrCat(total.mode, total.family.empty() ? "" : ", ",
                      total.family.empty() ? "" : FamilyWord(total.family), ": ",
                      Counted(total.tensors, "tensor"), ", ", FormatCount(total.elements),
                      " parameters"),
         out);
  }
}

void ToldFallbacks(const ReadReport& read, std::string& out) {
  const Findings& found = read.findings;
  if (found.gates == 0) return;
  Line("fell back",
       absl::StrCat(Commas(found.fell_back.size()), " of ", Commas(found.gates),
                    " to the plain mean, ", found.near_jump, " within ", ShortNumber(kNearJump),
                    " of the jump at ", Formatted("%.4f", found.jump)),
       out);
  const ReportedMeasure& coherence = *read.report.Find("coherence");
  for (size_t i = 0; i < std::min(kTold, found.fell_back.size()); ++i) {
    const size_t row = found.fell_back[i];
    Line("",
         Formatted("coherence %.4f, %+.4f from the jump: ", coherence.At(row),
                   coherence.At(row) - found.jump)
             .append(RowName(read.report, row)),
         out);
  }
  if (found.fell_back.size() > kTold) {
    Line("", absl::StrCat("and ", found.fell_back.size() - kTold, " more (--json, --html)"), out);
  }
}

}  // namespace

absl::StatusOr<ReadReport> ReadReportText(std::string_view text, std::string_view output,
                                          std::string_view where) {
  ReadReport read;
  read.output = std::string(output);
  MERGANSER_ASSIGN_OR_RETURN(read.report, ParseReport(text, where));
  std::vector<std::string_view> names;
  names.reserve(read.report.tensors.size());
  for (const ReportedTensor& tensor : read.report.tensors) names.push_back(tensor.name);
  read.layout = LayOut(names);
  read.findings = Find(read.report, read.layout);
  return read;
}

std::string SummaryText(const ReadReport& read) {
  const MergeReport& report = read.report;
  const Findings& found = read.findings;
  std::string out;
  for (const std::string& sentence : found.sentences) {
    absl::StrAppend(&out, OneLine(sentence), "\n");
  }
  absl::StrAppend(&out, "\n");
  Line("output", read.output, out);
  Line("method",
       absl::StrCat(report.method.name, report.method.parameters.empty() ? "" : ": ",
                    ParametersText(report.method.parameters),
                    report.method.overrides == 0 ? "" : ", others for some tensors"),
       out);
  ToldModels(report, out);
  uint64_t bytes = 0;
  for (const ReportedFile& shard : report.shards) bytes += shard.size;
  Line("tensors",
       absl::StrCat(Counted(report.tensors.size(), "tensor"), ", ", FormatCount(report.parameters),
                    " parameters, ", Counted(report.shards.size(), "shard"), ", ",
                    FormatBytes(bytes)),
       out);
  ToldModes(found, out);
  Line("copied, tied",
       absl::StrCat(found.copied, " copied from the base, ", found.tied, " tied to another name, ",
                    found.noted, " with a note"),
       out);
  for (const Spread& spread : found.spreads) {
    Line(&spread == found.spreads.data() ? "measured" : "",
         Formatted("%s: least %.4g, median %.4g, greatest %.4g (%d values)", spread.name,
                   spread.least, spread.median, spread.greatest, spread.count),
         out);
  }
  ToldFallbacks(read, out);
  const std::vector<std::string> names = report.ExpertNames();
  for (size_t i = 0; i < found.shares.size(); ++i) {
    Line(i == 0 ? "taken" : "", absl::StrCat(Percent(found.shares[i]), " from ", names[i]), out);
  }
  Line("warnings", report.warnings.empty() ? "none" : report.warnings.front(), out);
  ToldRest(report.warnings, out);
  if (!report.notes.empty()) {
    Line("notes", report.notes.front(), out);
    ToldRest(report.notes, out);
  }
  Line("bytes",
       absl::StrCat(FormatBytes(report.run.bytes_read), " read, ",
                    FormatBytes(report.run.bytes_written), " written"),
       out);
  Line("time",
       absl::StrCat(Seconds(report.run.seconds), ", finished ", report.run.finished, ", ",
                    Counted(report.run.threads, "thread"), ", ",
                    report.run.workers.empty() ? "one process"
                                               : Counted(report.run.workers.size(), "worker"),
                    ", ", report.run.simd),
       out);
  Line("versions",
       absl::StrCat(report.program, ", numerics ", report.numerics, ", plan ", report.plan), out);
  return out;
}

}  // namespace merganser::web
