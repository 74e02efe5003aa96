#include "common/base/metric_names.h"

#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace merganser {
namespace {

constexpr std::string_view kPrefix = "merganser_";
// What a histogram can be of.
constexpr std::array<std::string_view, 2> kBaseUnits = {"seconds", "bytes"};
// Words that say another unit where a base unit belongs.
constexpr std::array<std::string_view, 22> kOtherUnits = {
    "ns",        "us",        "ms",      "nanoseconds", "microseconds", "milliseconds",
    "second",    "minutes",   "hours",   "days",        "byte",         "kb",
    "mb",        "gb",        "kib",     "mib",         "gib",          "kilobytes",
    "megabytes", "gigabytes", "percent", "pct"};
// What exposition adds by itself.
constexpr std::array<std::string_view, 3> kReserved = {"_bucket", "_count", "_sum"};
// Labels that Prometheus gives a target, or ranges and quantiles have, or that would be without
// end.
constexpr std::array<std::string_view, 5> kTakenLabels = {"job", "instance", "le", "quantile",
                                                          "uid"};
constexpr size_t kMostSeries = 4096;

bool IsName(std::string_view text) {
  return !text.empty() && text.front() >= 'a' && text.front() <= 'z' && text.back() != '_' &&
         text.find("__") == std::string_view::npos &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
         });
}

template <typename List>
bool Has(const List& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

std::string NameProblem(std::string_view name, MetricKind kind) {
  if (!IsName(name)) {
    return "expected lower-case words of letters and digits, with '_' between them";
  }
  if (!name.starts_with(kPrefix))
    return absl::StrCat("expected to begin with ", std::string(kPrefix));
  const bool total = name.ends_with("_total");
  if (total != (kind == MetricKind::kCounter)) {
    return total ? "expected _total of counters alone" : "expected a counter to end with _total";
  }
  for (const std::string_view ending : kReserved) {
    if (name.ends_with(ending)) {
      return absl::StrCat("expected no ", std::string(ending), ", which a histogram's parts have");
    }
  }
  const std::vector<std::string> words = absl::StrSplit(std::string(name), '_');
  for (const std::string& word : words) {
    if (Has(kOtherUnits, word)) {
      return absl::StrCat("expected a base unit, seconds or bytes, in the place of ", word);
    }
  }
  if (kind == MetricKind::kHistogram && !Has(kBaseUnits, words.back())) {
    return "expected a histogram's name to end with its unit, seconds or bytes";
  }
  return "";
}

std::string LabelProblem(const std::vector<MetricLabel>& labels) {
  std::set<std::string> names;
  size_t series = 1;
  for (const MetricLabel& label : labels) {
    if (!IsName(label.name) || Has(kTakenLabels, label.name)) {
      return absl::StrCat("found the label ", label.name, ", expected another word");
    }
    if (!names.insert(label.name).second) {
      return absl::StrCat("found the label ", label.name, " twice");
    }
    const std::set<std::string> values(label.values.begin(), label.values.end());
    if (values.empty() || values.size() != label.values.size()) {
      return absl::StrCat("label ", label.name, ": expected its values, each once");
    }
    series *= values.size();
    if (series > kMostSeries) {
      return absl::StrCat("found more than ", kMostSeries, " series, expected fewer labels");
    }
  }
  return "";
}

}  // namespace

absl::Status CheckMetric(std::string_view name, std::string_view help, MetricKind kind,
                         const std::vector<MetricLabel>& labels) {
  std::string problem = NameProblem(name, kind);
  if (problem.empty()) problem = LabelProblem(labels);
  if (problem.empty() && help.empty()) problem = "expected a sentence that says what it counts";
  if (problem.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("metric ", std::string(name), ": ", problem));
}

}  // namespace merganser
