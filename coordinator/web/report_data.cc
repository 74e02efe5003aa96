#include "coordinator/web/report_data.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/format.h"
#include "common/base/status.h"
#include "nlohmann/json.hpp"

namespace merganser::web {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kFormat = 1;

// Members of a tensor or group that are no measurements.
bool IsKnown(std::string_view key) {
  static constexpr std::string_view kKnown[] = {
      "name", "mode",   "family",  "dtype", "shape", "elements", "tied",    "shard",
      "note", "method", "sources", "group", "leaf",  "leaves",   "tensors", "key"};
  return std::find(std::begin(kKnown), std::end(kKnown), key) != std::end(kKnown);
}

std::string Text(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

uint64_t Whole(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

std::optional<double> Number(const Json& json) {
  if (json.is_null()) return kNothing;
  if (json.is_number()) return json.get<double>();
  return std::nullopt;
}

// Numbers and words alike, as a recipe would have them.
std::string ParameterText(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number()) return Formatted("%.15g", value.get<double>());
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

ReportedParameters Parameters(const Json& json) {
  ReportedParameters parameters;
  if (!json.is_object()) return parameters;
  for (const auto& [key, value] : json.items()) parameters.emplace_back(key, ParameterText(value));
  return parameters;
}

// Takes the report's elements as the parser comes by them, and keeps none of their JSON.
class Reader {
 public:
  explicit Reader(MergeReport& report) : report_(report) {}

  // As nlohmann's parser calls it: false discards `parsed`.
  bool Take(int depth, Json::parse_event_t event, Json& parsed) {
    using Event = Json::parse_event_t;
    if (depth == 1 && event == Event::key) {
      member_ = parsed.get<std::string>();
      seen_.insert(member_);
      return true;
    }
    if (!status_.ok()) return depth == 0;
    if (depth == 1 &&
        (event == Event::value || event == Event::object_end || event == Event::array_end)) {
      Member(parsed);
      return false;
    }
    if (depth != 2 || (event != Event::object_end && event != Event::value)) return true;
    return !Element(parsed);
  }

  absl::Status Finish() {
    MERGANSER_RETURN_IF_ERROR(status_);
    for (const char* key : {"format", "method", "models", "shards", "tensors", "run"}) {
      if (!seen_.contains(key)) {
        return absl::DataLossError(absl::StrCat("key ", key, " is missing: this is no report"));
      }
    }
    for (ReportedMeasure& measure : report_.measures) {
      measure.values.resize(report_.rows.size() * measure.width, kNothing);
    }
    for (const auto& [row, key] : shared_) {
      const auto found = groups_.find(key);
      if (found != groups_.end()) report_.rows[row].gate = found->second;
    }
    return absl::OkStatus();
  }

 private:
  void Member(const Json& value) {
    if (member_ == "format") {
      const int64_t found = value.is_number_integer() ? value.get<int64_t>() : -1;
      if (found == kFormat) return;
      status_ = found > kFormat
                    ? absl::InvalidArgumentError(
                          absl::StrCat("found format ", found, ", expected ", kFormat,
                                       "; a newer merganser wrote it: use that one"))
                    : absl::DataLossError(absl::StrCat("key format: expected ", kFormat));
    } else if (member_ == "program" && value.is_string()) {
      report_.program = value.get<std::string>();
    } else if (member_ == "plan" && value.is_string()) {
      report_.plan = value.get<std::string>();
    } else if (member_ == "recipe" && value.is_string()) {
      report_.recipe = value.get<std::string>();
    } else if (member_ == "numerics" && value.is_number_integer()) {
      report_.numerics = value.get<int64_t>();
    } else if (member_ == "parameters" && value.is_number_unsigned()) {
      report_.parameters = value.get<uint64_t>();
    } else if (member_ == "rounds" && value.is_number_unsigned()) {
      report_.rounds = value.get<uint64_t>();
    } else if (member_ == "method") {
      Method(value);
    } else if (member_ == "run") {
      Run(value);
    } else if (IsList() && !value.is_array()) {
      status_ = absl::DataLossError(absl::StrCat("key ", member_, ": expected a list"));
    }
  }

  bool IsList() const {
    return member_ == "models" || member_ == "warnings" || member_ == "notes" ||
           member_ == "shards" || member_ == "tensors" || member_ == "groups" || member_ == "units";
  }

  // Whether it was one of a long list, and is done with.
  bool Element(const Json& value) {
    if (!IsList()) return false;
    if (member_ == "warnings" || member_ == "notes") {
      std::vector<std::string>& texts = member_ == "notes" ? report_.notes : report_.warnings;
      if (value.is_string()) texts.push_back(value.get<std::string>());
      return true;
    }
    if (!value.is_object()) {
      status_ = absl::DataLossError(absl::StrCat("key ", member_, ": expected objects"));
    } else if (member_ == "models") {
      Model(value);
    } else if (member_ == "shards") {
      report_.shards.push_back({Text(value, "file"), Whole(value, "size"), "", ""});
    } else if (member_ == "tensors") {
      Tensor(value);
    } else if (member_ == "groups") {
      Group(value);
    } else {
      ++report_.units;
    }
    return true;
  }

  void Method(const Json& value) {
    report_.method.name = Text(value, "name");
    if (value.contains("parameters")) {
      report_.method.parameters = Parameters(value.at("parameters"));
    }
    if (value.contains("per_model")) {
      for (const Json& model : value.at("per_model")) {
        report_.method.per_model.push_back(Parameters(model));
      }
    }
    if (value.contains("overrides")) report_.method.overrides = value.at("overrides").size();
  }

  void Model(const Json& value) {
    ReportedModel& model = report_.models.emplace_back();
    model.base = Text(value, "role") == "base";
    model.model = Text(value, "model");
    model.uri = Text(value, "uri");
    if (value.contains("adapters")) {
      for (const Json& adapter : value.at("adapters")) {
        model.adapters.push_back(
            absl::StrCat(Text(adapter, "adapter"), ": ", Text(adapter, "origin")));
      }
    }
    if (const auto origin = value.find("origin"); origin != value.end() && origin->is_object()) {
      model.origin = Text(*origin, "text");
      model.stored_as = Text(*origin, "stored_as");
    }
    if (!value.contains("shards")) return;
    for (const Json& file : value.at("shards")) {
      model.files.push_back(
          {Text(file, "file"), Whole(file, "size"), Text(file, "identity"), Text(file, "header")});
    }
  }

  size_t AddRow(ReportedRow::Kind kind, size_t index, uint64_t leaf = 0) {
    const size_t row = report_.rows.size();
    report_.rows.push_back({kind, static_cast<uint32_t>(index), static_cast<uint32_t>(leaf), row});
    return row;
  }

  void Tensor(const Json& value) {
    const size_t index = report_.tensors.size();
    const size_t row = AddRow(ReportedRow::Kind::kTensor, index);
    ReportedTensor& tensor = report_.tensors.emplace_back();
    tensor.name = Text(value, "name");
    if (!value.contains("name")) status_ = absl::DataLossError("a tensor has no name");
    tensor.mode = Text(value, "mode");
    tensor.family = Text(value, "family");
    tensor.dtype = Text(value, "dtype");
    tensor.note = Text(value, "note");
    tensor.elements = Whole(value, "elements");
    tensor.row = row;
    const auto tied = value.find("tied");
    tensor.tied = tied != value.end() && tied->is_boolean() && tied->get<bool>();
    const auto shape = value.find("shape");
    if (shape != value.end()) {
      for (const Json& side : *shape) {
        if (side.is_number_unsigned()) tensor.shape.push_back(side.get<uint64_t>());
      }
    }
    if (const std::string group = Text(value, "group"); !group.empty()) {
      shared_.emplace_back(row, group);
    }
    Measure(value, row);
    const auto leaves = value.find("leaves");
    if (leaves == value.end() || !leaves->is_array()) return;
    for (const Json& leaf : *leaves) {
      Measure(leaf, AddRow(ReportedRow::Kind::kLeaf, index, Whole(leaf, "leaf")));
    }
  }

  void Group(const Json& value) {
    const size_t row = AddRow(ReportedRow::Kind::kGroup, report_.groups.size());
    const std::string key = Text(value, "key");
    report_.groups.push_back({key, Whole(value, "tensors"), Whole(value, "elements"), row});
    groups_.emplace(key, row);
    Measure(value, row);
  }

  void Measure(const Json& value, size_t row) {
    if (!value.is_object()) return;
    for (const auto& [key, entry] : value.items()) {
      if (IsKnown(key)) continue;
      if (const std::optional<double> number = Number(entry)) {
        Put(key, false, row, {*number});
      } else if (entry.is_array()) {
        std::vector<double> numbers;
        for (const Json& item : entry) numbers.push_back(Number(item).value_or(kNothing));
        Put(key, true, row, numbers);
      }
    }
  }

  void Put(const std::string& name, bool list, size_t row, const std::vector<double>& numbers) {
    if (dropped_.contains(name)) return;
    auto found = index_.find(name);
    if (found == index_.end()) {
      if (report_.measures.size() == kMaxMeasures) return Drop(name);
      found = index_.emplace(name, report_.measures.size()).first;
      report_.measures.push_back({name, list, 1, {}});
    }
    ReportedMeasure& measure = report_.measures[found->second];
    measure.list |= list;
    const size_t width = std::max(measure.width, numbers.size());
    if (width > kMaxMeasureWidth || (row + 1) * (total_ + width) > kMaxMeasuredValues) {
      measure.values = {};
      return Drop(name);
    }
    total_ += width - measure.width + (measure.values.empty() ? measure.width : 0);
    if (width > measure.width) Widen(width, measure);
    measure.values.resize((row + 1) * width, kNothing);
    std::copy(numbers.begin(), numbers.end(),
              measure.values.begin() + static_cast<std::ptrdiff_t>(row * width));
  }

  static void Widen(size_t width, ReportedMeasure& measure) {
    const size_t rows = measure.values.size() / measure.width;
    std::vector<double> values(rows * width, kNothing);
    for (size_t row = 0; row < rows; ++row) {
      for (size_t i = 0; i < measure.width; ++i) values[row * width + i] = measure.At(row, i);
    }
    measure.values = std::move(values);
    measure.width = width;
  }

  // Names of as many as a page would show, whatever a file holds.
  void Drop(const std::string& name) {
    if (dropped_.size() >= 4 * kMaxMeasures) return;
    dropped_.insert(name);
    report_.left_out.push_back(name);
  }

  void Run(const Json& value) {
    ReportedRun& run = report_.run;
    run.job = Text(value, "job");
    run.started = Text(value, "started");
    run.finished = Text(value, "finished");
    run.simd = Text(value, "simd");
    if (value.contains("seconds")) run.seconds = Number(value.at("seconds")).value_or(kNothing);
    run.threads = Whole(value, "threads");
    run.bytes_read = Whole(value, "bytes_read");
    run.bytes_written = Whole(value, "bytes_written");
    run.analysis = value.contains("analysis") && value.at("analysis") == true;
    if (!value.contains("workers")) return;
    for (const Json& worker : value.at("workers")) {
      if (worker.is_string()) run.workers.push_back(worker.get<std::string>());
    }
  }

  MergeReport& report_;
  absl::Status status_;
  std::string member_;  // of the top level, that is being read
  std::set<std::string> seen_;
  std::map<std::string, size_t> index_;  // of measures
  std::set<std::string> dropped_;
  size_t total_ = 0;                                    // width of all measures together
  std::map<std::string, size_t> groups_;                // key -> row
  std::vector<std::pair<size_t, std::string>> shared_;  // row of a tensor, key of its gate
};

std::string LastComponent(std::string_view path) {
  while (!path.empty() && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

}  // namespace

const ReportedMeasure* MergeReport::Find(std::string_view measure) const {
  for (const ReportedMeasure& each : measures) {
    if (each.name == measure && !each.values.empty()) return &each;
  }
  return nullptr;
}

size_t MergeReport::Experts() const {
  if (!method.per_model.empty()) return method.per_model.size();
  return static_cast<size_t>(std::count_if(models.begin(), models.end(),
                                           [](const ReportedModel& model) { return !model.base; }));
}

std::vector<std::string> MergeReport::ExpertNames() const {
  std::vector<std::string> names;
  std::set<std::string> distinct;
  for (const ReportedModel& model : models) {
    if (model.base) continue;
    names.push_back(LastComponent(model.model));
    distinct.insert(names.back());
  }
  const size_t experts = Experts();
  // A recipe of slices may name one model for several parts.
  if (names.size() != experts) names.assign(experts, "");
  if (distinct.size() == experts && !distinct.contains("")) return names;
  for (size_t i = 0; i < names.size(); ++i) names[i] = absl::StrCat("expert ", i + 1);
  return names;
}

absl::StatusOr<MergeReport> ParseReport(std::string_view text, std::string_view where) {
  MergeReport report;
  Reader reader(report);
  try {
    const Json rest = Json::parse(text, [&](int depth, Json::parse_event_t event, Json& parsed) {
      return reader.Take(depth, event, parsed);
    });
    if (!rest.is_object()) {
      return absl::DataLossError(absl::StrCat(OneLine(where), ": expected a JSON object"));
    }
  } catch (const Json::exception& error) {
    return absl::DataLossError(
        absl::StrCat(OneLine(where), ": ", OneLine(error.what()),
                     "; the report is damaged: copy it again, or merge again"));
  }
  const absl::Status finished = reader.Finish();
  if (!finished.ok()) return Annotate(finished, OneLine(where));
  return report;
}

}  // namespace merganser::web
