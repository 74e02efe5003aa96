#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "common/base/status.h"
#include "common/engine/rounding_report.h"
#include "common/format/text.h"
#include "common/plan/encoding.h"
#include "common/plan/model_origin.h"
#include "common/publish/low_rank.h"
#include "common/publish/report.h"
#include "common/tensor/dtype.h"
#include "nlohmann/json.hpp"

namespace merganser {
namespace {

using Json = nlohmann::ordered_json;

// Whole numbers are written without a fraction, NaN and infinities as null
// (JSON has no other word), all else with the digits that bring it back exactly.
Json Number(double value) {
  if (!std::isfinite(value)) return nullptr;
  constexpr double kExact = 9007199254740992.0;  // 2^53
  const bool whole = value == std::floor(value) && std::abs(value) < kExact;
  if (whole && !(value == 0 && std::signbit(value))) return static_cast<int64_t>(value);
  return value;
}

// Microseconds are more than a clock in a busy process is good for.
Json Seconds(double seconds) { return Number(std::round(seconds * 1e6) / 1e6); }

std::string Dump(const Json& json) {
  return ShownJson(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

// One line a top-level member, and one an element of its long lists: small, yet
// fit for diff and grep.
class Writer {
 public:
  void Member(const char* key, const Json& value) {
    Key(key);
    text_ += Dump(value);
  }
  void BeginList(const char* key) {
    Key(key);
    text_ += '[';
    first_ = true;
  }
  void Element(const Json& value) {
    text_ += first_ ? "\n" : ",\n";
    first_ = false;
    text_ += Dump(value);
  }
  void EndList() { text_ += first_ ? "]" : "\n]"; }
  std::string Take() { return std::move(text_) + "\n}\n"; }

 private:
  void Key(const char* key) {
    text_ += text_.empty() ? "{\n\"" : ",\n\"";
    text_ += key;
    text_ += "\": ";
  }

  std::string text_;
  bool first_ = true;
};

Json Parameters(const MethodConfig& config) {
  Json json = Json::object();
  for (const auto& [key, value] : config.choices) json[key] = value;
  for (const auto& [key, value] : config.numbers) json[key] = Number(value);
  return json;
}

Json PerModel(const MethodConfig& config) {
  Json models = Json::array();
  for (const auto& parameters : config.per_model) {
    Json entry = Json::object();
    for (const auto& [key, value] : parameters) entry[key] = Number(value);
    models.push_back(std::move(entry));
  }
  return models;
}

Json Method(const Plan& plan) {
  Json json = {{"name", plan.method.method},
               {"parameters", Parameters(plan.method)},
               {"per_model", PerModel(plan.method)}};
  if (plan.overrides.empty()) return json;
  Json overrides = Json::array();
  for (const MethodConfig& config : plan.overrides) {
    overrides.push_back({{"parameters", Parameters(config)}, {"per_model", PerModel(config)}});
  }
  json["overrides"] = std::move(overrides);
  return json;
}

Json Model(const PlannedModel& model, bool base) {
  Json shards = Json::array();
  for (const CheckpointShard& shard : model.shards) {
    shards.push_back({{"file", shard.key},
                      {"size", shard.info.size},
                      {"identity", shard.info.identity},
                      {"header", shard.header_digest}});
  }
  Json json = {{"role", base ? "base" : "expert"},
               {"model", model.given},
               {"uri", model.uri},
               {"shards", std::move(shards)}};
  if (!DescribeOrigin(model).empty()) json["origin"] = OriginJson(model);
  if (model.adapters.empty()) return json;
  Json adapters = Json::array();
  for (const AdapterOrigin& adapter : model.adapters) {
    adapters.push_back({{"adapter", adapter.given},
                        {"uri", adapter.uri},
                        {"weight", Number(adapter.weight)},
                        {"rank", {adapter.least_rank, adapter.most_rank}},
                        {"alpha", {Number(adapter.least_alpha), Number(adapter.most_alpha)}},
                        {"scale", {Number(adapter.least_scale), Number(adapter.most_scale)}},
                        {"modules", adapter.modules},
                        {"expected", adapter.expected},
                        {"dora", adapter.dora},
                        {"whole", adapter.whole},
                        {"origin", DescribeAdapter(adapter)}});
  }
  json["adapters"] = std::move(adapters);
  return json;
}

// A method's own names give way to those of the format.
void AddFields(const ReportFields& fields, Json& json) {
  for (const ReportField& field : fields) {
    Json value = nullptr;
    if (field.list || field.values.size() > 1) {
      value = Json::array();
      for (double number : field.values) value.push_back(Number(number));
    } else if (!field.values.empty()) {
      value = Number(field.values[0]);
    }
    // `method` and `sources` are the format's also where a tensor has none.
    const bool taken = json.contains(field.key) || field.key == "method" || field.key == "sources";
    const std::string key = taken ? "method_" + field.key : field.key;
    json[key] = std::move(value);
  }
}

// What all rounds measured of one tensor.
struct Measured {
  std::map<uint64_t, LeafReport> leaves;
  ReportFields totals;  // of what adds up over its leaves
  double seconds = 0;
};

// Lists that go on (a threshold an expert, found one after the other) are joined.
void Append(const ReportFields& from, ReportFields& to) {
  for (const ReportField& field : from) {
    const auto found = std::find_if(to.begin(), to.end(), [&](const ReportField& there) {
      return there.key == field.key && there.list && field.list && !field.adds;
    });
    if (found == to.end()) {
      to.push_back(field);
    } else {
      found->values.insert(found->values.end(), field.values.begin(), field.values.end());
    }
  }
}

void AddUp(const ReportField& field, ReportFields& totals) {
  const auto found = std::find_if(totals.begin(), totals.end(),
                                  [&](const ReportField& total) { return total.key == field.key; });
  if (found == totals.end()) {
    totals.push_back(field);
    return;
  }
  found->values.resize(std::max(found->values.size(), field.values.size()));
  for (size_t i = 0; i < field.values.size(); ++i) found->values[i] += field.values[i];
}

// What follows from `selected`, the coordinates taken from each expert.
void AddShares(uint64_t elements, ReportFields& fields) {
  const auto selected = std::find_if(fields.begin(), fields.end(), [](const ReportField& field) {
    return field.key == "selected";
  });
  if (selected == fields.end()) return;
  double all = 0;
  for (const double count : selected->values) all += count;
  ReportField density{"density_reached", {all / static_cast<double>(elements)}};
  ReportField share{"share", {}, true};
  for (const double count : selected->values) share.values.push_back(all > 0 ? count / all : 0);
  fields.push_back(std::move(density));
  fields.push_back(std::move(share));
}

std::vector<Measured> ByTensor(const Plan& plan, const std::vector<UnitResult>& results) {
  std::vector<Measured> measured(plan.tensors.size());
  for (const UnitResult& result : results) {
    for (const LeafReport& report : result.leaves) {
      if (report.tensor >= measured.size()) continue;
      LeafReport& leaf = measured[report.tensor].leaves[report.leaf];
      Append(report.fields, leaf.fields);
      leaf.seconds += report.seconds;
    }
  }
  for (size_t t = 0; t < measured.size(); ++t) {
    Measured& of = measured[t];
    for (auto& [index, leaf] : of.leaves) {
      of.seconds += leaf.seconds;
      for (const ReportField& field : leaf.fields) {
        if (field.adds) AddUp(field, of.totals);
      }
    }
    if (plan.tensors[t].leaves <= 1) {
      for (auto& [index, leaf] : of.leaves) {
        AddShares(plan.tensors[t].elements, leaf.fields);
        TellRounding(leaf.fields);
      }
      continue;
    }
    for (auto& [index, leaf] : of.leaves) {
      std::erase_if(leaf.fields, [](const ReportField& field) { return field.adds; });
    }
    std::erase_if(of.leaves, [](const auto& leaf) { return leaf.second.fields.empty(); });
  }
  return measured;
}

// What was measured of every gate, over all rounds.
std::vector<ReportFields> ByGroup(const Plan& plan, const std::vector<UnitResult>& results) {
  std::vector<ReportFields> groups(plan.groups.size());
  for (const UnitResult& result : results) {
    for (const GroupReport& report : result.groups) {
      if (report.group < groups.size()) Append(report.fields, groups[report.group]);
    }
  }
  return groups;
}

// A tensor's own gate is told with the tensor, a wider one in the list of groups.
bool IsOwn(const PlannedGroup& group) { return group.tensors.size() == 1; }

Json Tensor(const Plan& plan, const PlannedTensor& tensor, const Measured& measured,
            const std::vector<ReportFields>& groups, bool whole_models) {
  Json json = {{"name", tensor.spec.name},      {"mode", tensor.needs.mode},
               {"family", tensor.needs.family}, {"dtype", OutputTypeName(tensor)},
               {"shape", tensor.spec.shape},    {"elements", tensor.elements},
               {"tied", tensor.tied},           {"shard", tensor.shard}};
  if (tensor.method > 0) json["method"] = tensor.method;
  if (!whole_models) {
    Json sources = Json::array();
    for (const PlannedSource& source : tensor.sources) {
      sources.push_back({source.model, source.tensor});
    }
    json["sources"] = std::move(sources);
  }
  if (!tensor.needs.note.empty()) json["note"] = tensor.needs.note;
  const auto group = static_cast<size_t>(tensor.group);
  const bool grouped = tensor.group >= 0 && group < groups.size();
  const bool own = grouped && IsOwn(plan.groups[group]);
  if (grouped && !own) json["group"] = plan.groups[group].key;
  if (measured.leaves.empty() && measured.totals.empty() && !(own && !groups[group].empty())) {
    return json;
  }
  json["seconds"] = Seconds(measured.seconds);
  if (own) AddFields(groups[group], json);
  if (tensor.leaves > 1) {
    ReportFields totals = measured.totals;
    AddShares(tensor.elements, totals);
    TellRounding(totals);
    AddFields(totals, json);
  } else {
    for (const auto& [index, leaf] : measured.leaves) AddFields(leaf.fields, json);
    return json;
  }
  if (measured.leaves.empty()) return json;
  Json list = Json::array();
  for (const auto& [index, leaf] : measured.leaves) {
    Json entry = {{"leaf", index}, {"seconds", Seconds(leaf.seconds)}};
    AddFields(leaf.fields, entry);
    list.push_back(std::move(entry));
  }
  json["leaves"] = std::move(list);
  return json;
}

Json Group(const PlannedGroup& group, const ReportFields& fields,
           const std::vector<Measured>& measured) {
  Json json = {{"key", group.key}, {"tensors", group.tensors.size()}, {"elements", group.elements}};
  AddFields(fields, json);
  ReportFields totals;
  for (const uint32_t tensor : group.tensors) {
    for (const ReportField& field : measured[tensor].totals) AddUp(field, totals);
  }
  AddShares(group.elements, totals);
  TellRounding(totals);
  AddFields(totals, json);
  return json;
}

// Segments adjoin, so lengths alone place them: [bytes, digest].
Json UnitEntry(const Unit& unit, const UnitResult& result) {
  Json segments = Json::array();
  const size_t count = std::min(unit.segments.size(), result.segment_digests.size());
  for (size_t i = 0; i < count; ++i) {
    segments.push_back({unit.segments[i].bytes_out, result.segment_digests[i]});
  }
  return {{"shard", unit.shard},
          {"begin", unit.begin},
          {"end", unit.end},
          {"checksum", result.Checksum()},
          {"segments", std::move(segments)}};
}

Json Stages(const StageSeconds& stages) {
  return {{"wait", Seconds(stages.wait)},
          {"read", Seconds(stages.read)},
          {"compute", Seconds(stages.compute)},
          {"write", Seconds(stages.write)},
          {"flush", Seconds(stages.flush)}};
}

Json Run(const std::vector<UnitResult>& results, const RunFacts& facts) {
  std::vector<std::string> workers;
  std::map<std::string, size_t> index;
  // A worker within one process has no name, and so no place in the list.
  const auto place = [&](const std::string& worker) -> Json {
    if (worker.empty()) return nullptr;
    const auto [found, added] = index.emplace(worker, workers.size());
    if (added) workers.push_back(worker);
    return found->second;
  };
  for (const std::string& worker : facts.workers) (void)place(worker);
  Json seconds = Json::array(), stages = Json::array(), by = Json::array();
  StageSeconds together;
  uint64_t bytes_read = 0, bytes_written = 0;
  for (const UnitResult& result : results) {
    seconds.push_back(Seconds(result.seconds));
    const StageSeconds& in = result.stages;
    stages.push_back({Seconds(in.wait), Seconds(in.read), Seconds(in.compute), Seconds(in.write),
                      Seconds(in.flush)});
    together += in;
    by.push_back(place(result.worker));
    bytes_read += result.bytes_read;
    bytes_written += result.bytes_written;
  }
  const std::chrono::duration<double> elapsed = facts.finished - facts.started;
  Json run = {{"job", facts.job},
              {"started", FormatWallTime(facts.started)},
              {"finished", FormatWallTime(facts.finished)},
              {"seconds", Seconds(elapsed.count())},
              {"threads", facts.threads},
              {"simd", facts.simd},
              {"bytes_read", bytes_read},
              {"bytes_written", bytes_written},
              {"workers", workers},
              {"stage_seconds", Stages(together)},
              {"unit_seconds", std::move(seconds)},
              {"unit_stage_seconds", std::move(stages)},
              {"unit_workers", std::move(by)}};
  if (facts.analysis) run["analysis"] = true;
  const StorageCounts& storage = facts.storage;
  if (storage.requests > 0) {
    run["storage"] = {
        {"requests", storage.requests},           {"retries", storage.retries},
        {"throttled", storage.throttled},         {"bytes_read", storage.bytes_read},
        {"bytes_written", storage.bytes_written}, {"uploads_aborted", storage.uploads_aborted},
        {"uploads_left", storage.uploads_left}};
  }
  return run;
}

}  // namespace

std::string BuildReport(const Plan& plan, const std::vector<UnitResult>& results,
                        const RunFacts& facts) {
  const std::vector<Measured> measured = ByTensor(plan, results);
  const std::vector<ReportFields> groups = ByGroup(plan, results);

  Writer writer;
  writer.Member("format", 1);
  writer.Member("program", facts.program);
  writer.Member("numerics", kNumericsVersion);
  // This line and that of the run are how an output is known again (output_files.h).
  writer.Member("plan", plan.digest);
  writer.Member("recipe", plan.recipe_text);
  writer.Member("method", Method(plan));
  writer.BeginList("models");
  for (size_t i = 0; i < plan.models.size(); ++i) {
    writer.Element(Model(plan.models[i], plan.has_base && i == 0));
  }
  writer.EndList();
  writer.Member("parameters", plan.parameters);
  writer.Member("rounds", plan.rounds);
  writer.BeginList("warnings");
  for (const std::string& warning : WarningsOf(plan, results)) writer.Element(warning);
  writer.EndList();
  writer.BeginList("notes");
  for (const std::string& note : plan.notes) writer.Element(note);
  writer.EndList();
  writer.BeginList("shards");
  for (const PlannedShard& shard : plan.shards) {
    writer.Element({{"file", shard.key}, {"size", shard.size}});
  }
  writer.EndList();
  writer.BeginList("tensors");
  const bool whole_models = MergesWholeModels(plan);
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    writer.Element(Tensor(plan, plan.tensors[i], measured[i], groups, whole_models));
  }
  writer.EndList();
  writer.BeginList("groups");
  for (size_t g = 0; g < plan.groups.size(); ++g) {
    if (!IsOwn(plan.groups[g])) writer.Element(Group(plan.groups[g], groups[g], measured));
  }
  writer.EndList();
  writer.BeginList("units");
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i].unit < plan.units.size()) {
      writer.Element(UnitEntry(plan.units[results[i].unit], results[i]));
    }
  }
  writer.EndList();
  writer.Member("run", Run(results, facts));
  return writer.Take();
}

}  // namespace merganser
