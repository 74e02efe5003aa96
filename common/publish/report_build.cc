#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "common/plan/encoding.h"
#include "common/plan/model_origin.h"
#include "common/publish/low_rank.h"
#include "common/publish/report.h"
#include "common/publish/report_json.h"
#include "common/publish/report_measures.h"
#include "common/publish/report_run.h"
#include "nlohmann/json.hpp"

namespace merganser {
namespace {

using Json = nlohmann::ordered_json;

Json Parameters(const MethodConfig& config) {
  Json json = Json::object();
  for (const auto& [key, value] : config.choices) json[key] = value;
  for (const auto& [key, value] : config.numbers) json[key] = ReportNumber(value);
  return json;
}

Json PerModel(const MethodConfig& config) {
  Json models = Json::array();
  for (const auto& parameters : config.per_model) {
    Json entry = Json::object();
    for (const auto& [key, value] : parameters) entry[key] = ReportNumber(value);
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
    adapters.push_back(
        {{"adapter", adapter.given},
         {"uri", adapter.uri},
         {"weight", ReportNumber(adapter.weight)},
         {"rank", {adapter.least_rank, adapter.most_rank}},
         {"alpha", {ReportNumber(adapter.least_alpha), ReportNumber(adapter.most_alpha)}},
         {"scale", {ReportNumber(adapter.least_scale), ReportNumber(adapter.most_scale)}},
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
      for (double number : field.values) value.push_back(ReportNumber(number));
    } else if (!field.values.empty()) {
      value = ReportNumber(field.values[0]);
    }
    // `method` and `sources` are the format's also where a tensor has none.
    const bool taken = json.contains(field.key) || field.key == "method" || field.key == "sources";
    const std::string key = taken ? "method_" + field.key : field.key;
    json[key] = std::move(value);
  }
}

// A tensor's own gate is told with the tensor, a wider one in the list of groups.
bool IsOwn(const PlannedGroup& group) { return group.tensors.size() == 1; }

Json Tensor(const Plan& plan, const PlannedTensor& tensor, const MeasuredTensor& measured,
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
  json["seconds"] = ReportSeconds(measured.seconds);
  if (own) AddFields(groups[group], json);
  if (tensor.leaves > 1) {
    AddFields(TotalsOf(tensor, measured), json);
  } else {
    for (const auto& [index, leaf] : measured.leaves) AddFields(leaf.fields, json);
    return json;
  }
  if (measured.leaves.empty()) return json;
  Json list = Json::array();
  for (const auto& [index, leaf] : measured.leaves) {
    Json entry = {{"leaf", index}, {"seconds", ReportSeconds(leaf.seconds)}};
    AddFields(leaf.fields, entry);
    list.push_back(std::move(entry));
  }
  json["leaves"] = std::move(list);
  return json;
}

Json Group(const PlannedGroup& group, const ReportFields& fields,
           const std::vector<MeasuredTensor>& measured) {
  Json json = {{"key", group.key}, {"tensors", group.tensors.size()}, {"elements", group.elements}};
  AddFields(fields, json);
  AddFields(TotalsOf(group, measured), json);
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

}  // namespace

std::string BuildReport(const Plan& plan, const std::vector<UnitResult>& results,
                        const RunFacts& facts) {
  const std::vector<MeasuredTensor> measured = MeasuredTensors(plan, results);
  const std::vector<ReportFields> groups = MeasuredGates(plan, results);

  ReportWriter writer;
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
  writer.Member("run", RunJson(results, facts));
  return writer.Take();
}

}  // namespace merganser
