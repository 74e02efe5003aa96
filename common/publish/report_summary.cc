#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/duration_text.h"
#include "common/base/format.h"
#include "common/base/status.h"
#include "common/config/json_text.h"
#include "common/publish/numbers.h"
#include "common/publish/report.h"
#include "nlohmann/json.hpp"

namespace merganser {
namespace {

using Json = nlohmann::ordered_json;

struct Totals {
  uint64_t tensors = 0;
  uint64_t elements = 0;
};

// What is told of the leaves; every list holds only leaves that have the field.
struct Measured {
  std::map<std::string, std::vector<double>> values;  // by field, lists flattened
  size_t leaves = 0;
  size_t branches = 0;  // leaves that tell of one
  size_t mean_branch = 0;
  size_t jumps = 0;
  size_t near_jump = 0;
  size_t ill_defined_leaves = 0;
  double ill_defined_heads = 0;
};

constexpr double kNearJump = 1e-3;

// Fields of which the quantiles are told, with the words for people.
constexpr std::pair<const char*, const char*> kQuantiles[] = {
    {"coherence", "coherence"},
    {"head_agreement", "head agreement"},
    {"score", "score"},
    {"beta", "beta"},
    {"head_energy", "energy in the heads"},
    {"residual_norm", "residual norms"},
    {"threshold", "thresholds"},
    {"density_reached", "density reached"},
    {"steps", "solver steps"},
    {"solver_residual", "solver residuals"},
};

std::string Text(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? OneLine(found->get<std::string>()) : "";
}

std::vector<double> Numbers(const Json& leaf, const char* key) {
  std::vector<double> numbers;
  const auto found = leaf.find(key);
  if (found == leaf.end()) return numbers;
  if (found->is_number()) numbers.push_back(found->get<double>());
  if (found->is_array()) {
    for (const Json& value : *found) {
      if (value.is_number()) numbers.push_back(value.get<double>());
    }
  }
  return numbers;
}

void Measure(const Json& leaf, Measured& out) {
  ++out.leaves;
  for (const auto& [key, words] : kQuantiles) {
    for (double value : Numbers(leaf, key)) out.values[key].push_back(value);
  }
  for (double branch : Numbers(leaf, "branch")) {
    ++out.branches;
    out.mean_branch += branch == 0;
  }
  for (double distance : Numbers(leaf, "jump_distance")) {
    ++out.jumps;
    out.near_jump += std::abs(distance) < kNearJump;
  }
  for (double heads : Numbers(leaf, "ill_defined")) {
    out.ill_defined_heads += heads;
    out.ill_defined_leaves += heads > 0;
  }
}

std::string Quantiles(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  // The lower median: a value that was measured, for an even count too.
  return Formatted("min %.4g  median %.4g  max %.4g", values.front(),
                   values[(values.size() - 1) / 2], values.back());
}

void AppendLine(std::string_view label, std::string_view value, std::string& out) {
  absl::StrAppend(&out, Formatted("%-20s ", std::string(label)), std::string(value), "\n");
}

std::string MethodLine(const Json& report) {
  const Json& method = report.at("method");
  std::string line = Text(method, "name");
  std::string parameters;
  for (const auto& [key, value] : method.at("parameters").items()) {
    absl::StrAppend(&parameters, parameters.empty() ? "" : ", ", OneLine(key), " ",
                    value.is_number()   ? ShortNumber(value.get<double>())
                    : value.is_string() ? OneLine(value.get<std::string>())
                                        : OneLine(value.dump()));
  }
  if (!parameters.empty()) absl::StrAppend(&line, " (", parameters, ")");
  size_t others = 0;
  for (const Json& tensor : report.at("tensors")) others += tensor.contains("method");
  if (others > 0) {
    absl::StrAppend(&line, ", with other parameters for ", others,
                    others == 1 ? " tensor" : " tensors");
  }
  return line;
}

// What it moved and took, where a run is told of.
void AppendRun(const Json& report, std::string& out) {
  const auto run = report.find("run");
  if (run == report.end() || !run->contains("bytes_read") || !run->contains("seconds")) return;
  const auto seconds = run->at("seconds").is_number() ? run->at("seconds").get<double>() : 0;
  const auto moved = [&](const char* label, const char* key) {
    const auto bytes = run->at(key).get<uint64_t>();
    if (bytes == 0) return;  // analysis writes nothing
    std::string text = FormatBytes(bytes);
    if (seconds > 0) {
      absl::StrAppend(&text, ", ",
                      FormatBytes(static_cast<uint64_t>(static_cast<double>(bytes) / seconds)),
                      "/s");
    }
    AppendLine(label, text, out);
  };
  moved("read", "bytes_read");
  moved("written", "bytes_written");
  AppendLine("took", DurationText(seconds), out);
}

std::string Summary(const Json& report) {
  std::string out;
  AppendLine("method", MethodLine(report), out);
  size_t experts = 0;
  std::string base;
  for (const Json& model : report.at("models")) {
    if (Text(model, "role") == "base") base = Text(model, "model");
    experts += Text(model, "role") == "expert";
  }
  AppendLine("models",
             absl::StrCat(experts, experts == 1 ? " expert" : " experts",
                          base.empty() ? "" : " of ", base),
             out);

  std::map<std::string, Totals> modes;
  Measured measured;
  std::vector<std::pair<double, std::string>> slow;
  const Json& tensors = report.at("tensors");
  for (const Json& tensor : tensors) {
    Totals& mode = modes[Text(tensor, "mode")];
    ++mode.tensors;
    mode.elements += tensor.at("elements").get<uint64_t>();
    const auto seconds = tensor.find("seconds");
    if (seconds == tensor.end()) continue;  // its method measures nothing
    slow.emplace_back(seconds->is_number() ? seconds->get<double>() : 0, Text(tensor, "name"));
    const auto leaves = tensor.find("leaves");
    if (leaves == tensor.end()) {
      Measure(tensor, measured);
    } else {
      for (const Json& leaf : *leaves) Measure(leaf, measured);
    }
  }
  const auto groups = report.find("groups");
  if (groups != report.end()) {
    for (const Json& group : *groups) Measure(group, measured);
  }
  uint64_t bytes = 0;
  for (const Json& shard : report.at("shards")) bytes += shard.at("size").get<uint64_t>();
  AppendLine(
      "output",
      absl::StrCat(FormatCount(report.at("parameters").get<uint64_t>()), " parameters, ",
                   tensors.size(), " tensors, ", report.at("shards").size(),
                   report.at("shards").size() == 1 ? " shard, " : " shards, ", FormatBytes(bytes)),
      out);
  for (const auto& [mode, totals] : modes) {
    AppendLine(absl::StrCat("  ", mode),
               absl::StrCat(totals.tensors, totals.tensors == 1 ? " tensor, " : " tensors, ",
                            FormatCount(totals.elements), " parameters"),
               out);
  }

  for (const auto& [key, words] : kQuantiles) {
    const auto values = measured.values.find(key);
    if (values != measured.values.end()) AppendLine(words, Quantiles(values->second), out);
  }
  if (measured.branches > 0) {
    AppendLine("mean branch",
               absl::StrCat(measured.mean_branch, " of ", measured.branches, " gates"), out);
  }
  if (measured.jumps > 0) {
    AppendLine(
        "near the jump",
        absl::StrCat(measured.near_jump, " of ", measured.jumps, " leaves have a coherence within ",
                     ShortNumber(kNearJump), " of 1/sqrt(N)"),
        out);
  }
  if (measured.ill_defined_heads > 0) {
    AppendLine(
        "ill-defined heads",
        absl::StrCat(ShortNumber(measured.ill_defined_heads), " in ", measured.ill_defined_leaves,
                     " leaves: their leading singular values are tied or nearly so"),
        out);
  }
  const size_t slowest = std::min<size_t>(3, slow.size());
  std::partial_sort(slow.begin(), slow.begin() + static_cast<std::ptrdiff_t>(slowest), slow.end(),
                    [](const auto& a, const auto& b) {
                      return a.first != b.first ? a.first > b.first : a.second < b.second;
                    });
  for (size_t i = 0; i < slowest; ++i) {
    AppendLine(i == 0 ? "slowest" : "", Formatted("%.3f s  ", slow[i].first).append(slow[i].second),
               out);
  }
  AppendRun(report, out);
  const size_t warnings = report.at("warnings").size();
  if (warnings > 0) AppendLine("warnings", absl::StrCat(warnings, " (see the report)"), out);
  return out;
}

}  // namespace

absl::StatusOr<std::string> SummariseReport(std::string_view report_json) {
  if (NestsDeeply(report_json)) {
    return absl::DataLossError(
        absl::StrCat("report: found more than ", kMaxJsonDepth, " brackets in each other"));
  }
  try {
    const Json report = Json::parse(report_json);
    if (const int format = report.at("format").get<int>(); format != 1) {
      return absl::InvalidArgumentError(absl::StrCat("report: found format ", format,
                                                     ", expected 1; a newer merganser wrote it"));
    }
    return Summary(report);
  } catch (const Json::exception& error) {
    return absl::DataLossError(absl::StrCat("report: ", OneLine(error.what())));
  }
}

}  // namespace merganser
