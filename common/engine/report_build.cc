#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "common/base/status.h"
#include "common/engine/claim.h"
#include "common/engine/report.h"
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
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
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
  return {{"role", base ? "base" : "expert"},
          {"model", model.given},
          {"uri", model.uri},
          {"shards", std::move(shards)}};
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

Json Tensor(const PlannedTensor& tensor, const std::vector<const LeafReport*>& leaves,
            bool whole_models) {
  Json json = {{"name", tensor.spec.name},      {"mode", tensor.needs.mode},
               {"family", tensor.needs.family}, {"dtype", DTypeName(tensor.dtype)},
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
  if (leaves.empty()) return json;
  double seconds = 0;
  for (const LeafReport* leaf : leaves) seconds += leaf->seconds;
  json["seconds"] = Seconds(seconds);
  if (tensor.leaves <= 1 && leaves.size() == 1) {
    AddFields(leaves[0]->fields, json);
    return json;
  }
  Json list = Json::array();
  for (const LeafReport* leaf : leaves) {
    Json entry = {{"leaf", leaf->leaf}, {"seconds", Seconds(leaf->seconds)}};
    AddFields(leaf->fields, entry);
    list.push_back(std::move(entry));
  }
  json["leaves"] = std::move(list);
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
  Json seconds = Json::array(), by = Json::array();
  uint64_t bytes_read = 0, bytes_written = 0;
  for (const UnitResult& result : results) {
    seconds.push_back(Seconds(result.seconds));
    by.push_back(place(result.worker));
    bytes_read += result.bytes_read;
    bytes_written += result.bytes_written;
  }
  const std::chrono::duration<double> elapsed = facts.finished - facts.started;
  return {{"job", facts.job},
          {"started", FormatWallTime(facts.started)},
          {"finished", FormatWallTime(facts.finished)},
          {"seconds", Seconds(elapsed.count())},
          {"threads", facts.threads},
          {"simd", facts.simd},
          {"bytes_read", bytes_read},
          {"bytes_written", bytes_written},
          {"workers", workers},
          {"unit_seconds", std::move(seconds)},
          {"unit_workers", std::move(by)}};
}

}  // namespace

std::string BuildReport(const Plan& plan, const std::vector<UnitResult>& results,
                        const RunFacts& facts) {
  std::vector<std::vector<const LeafReport*>> leaves(plan.tensors.size());
  for (const UnitResult& result : results) {
    for (const LeafReport& leaf : result.leaves) {
      if (leaf.tensor < leaves.size()) leaves[leaf.tensor].push_back(&leaf);
    }
  }
  for (auto& of_tensor : leaves) {
    std::stable_sort(of_tensor.begin(), of_tensor.end(),
                     [](const LeafReport* a, const LeafReport* b) { return a->leaf < b->leaf; });
  }

  Writer writer;
  writer.Member("format", 1);
  writer.Member("program", facts.program);
  writer.Member("numerics", kNumericsVersion);
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
  for (const std::string& warning : plan.warnings) writer.Element(warning);
  writer.EndList();
  writer.BeginList("shards");
  for (const PlannedShard& shard : plan.shards) {
    writer.Element({{"file", shard.key}, {"size", shard.size}});
  }
  writer.EndList();
  writer.BeginList("tensors");
  const bool whole_models = MergesWholeModels(plan);
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    writer.Element(Tensor(plan.tensors[i], leaves[i], whole_models));
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
