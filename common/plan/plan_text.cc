#include "common/plan/plan_text.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/bytes.h"
#include "common/base/duration_text.h"
#include "common/base/format.h"
#include "common/base/status.h"
#include "common/checkpoint/layers.h"
#include "common/format/text.h"
#include "common/plan/encoding.h"
#include "common/plan/model_origin.h"

namespace merganser {
namespace {

using Json = nlohmann::ordered_json;

std::string ShapeText(const Shape& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

Json Parameters(const MethodConfig& method) {
  Json parameters = Json::object();
  for (const auto& [key, value] : method.numbers) parameters[key] = value;
  for (const auto& [key, value] : method.choices) parameters[key] = value;
  return parameters;
}

Json PerModel(const MethodConfig& method) {
  Json models = Json::array();
  for (const auto& model : method.per_model) {
    Json entry = Json::object();
    for (const auto& [key, value] : model) entry[key] = value;
    models.push_back(std::move(entry));
  }
  return models;
}

// "lambda 1, normalize 0; weight 0.5 | 0.25", a value a model.
std::string ParametersText(const MethodConfig& method) {
  std::vector<std::string> parts;
  parts.reserve(method.choices.size() + method.numbers.size());
  for (const auto& [key, value] : method.choices) {
    parts.push_back(absl::StrCat(key, " ", OneLine(value)));
  }
  for (const auto& [key, value] : method.numbers) parts.push_back(absl::StrCat(key, " ", value));
  std::vector<std::string> models;
  if (!method.per_model.empty()) {
    for (const auto& [key, ignored] : method.per_model[0]) {
      std::vector<std::string> values;
      values.reserve(method.per_model.size());
      for (const auto& model : method.per_model) {
        const auto it = model.find(key);
        values.push_back(it == model.end() ? "-" : absl::StrCat(it->second));
      }
      models.push_back(absl::StrCat(key, " ", absl::StrJoin(values, " | ")));
    }
  }
  std::string text = absl::StrJoin(parts, ", ");
  if (!text.empty() && !models.empty()) text += "; ";
  return text + absl::StrJoin(models, ", ");
}

// What is special about a tensor. Without slices the models are no question.
std::string RemarksText(const PlannedTensor& tensor, bool whole) {
  std::string text = tensor.tied ? "  tied" : "";
  if (tensor.method > 0) absl::StrAppend(&text, "  parameters ", tensor.method);
  if (whole) return text;
  std::vector<std::string> sources;
  for (const PlannedSource& source : tensor.sources) {
    const std::optional<LayerName> layer = ParseLayer(source.tensor);
    sources.push_back(absl::StrCat("model ", source.model,
                                   layer.has_value() ? absl::StrCat(" layer ", layer->layer) : ""));
  }
  return absl::StrCat(text, "  from ", absl::StrJoin(sources, ", "));
}

struct ModeTotals {
  uint64_t tensors = 0;
  uint64_t elements = 0;
  std::map<std::string, uint64_t> families;  // tensors by family
};

// How many tensors there are of each mode, the most elements first, and of which families.
std::string ModesText(const Plan& plan) {
  std::map<std::string, ModeTotals> modes;
  for (const PlannedTensor& tensor : plan.tensors) {
    ModeTotals& mode = modes[tensor.needs.mode];
    ++mode.tensors;
    mode.elements += tensor.elements;
    ++mode.families[tensor.needs.family];
  }
  std::vector<std::pair<std::string, ModeTotals>> sorted(modes.begin(), modes.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return a.second.elements > b.second.elements;
  });
  std::string text = absl::StrCat("tensors      ", plan.tensors.size(), "\n");
  for (const auto& [name, mode] : sorted) {
    const double share = plan.parameters == 0 ? 0
                                              : 100 * static_cast<double>(mode.elements) /
                                                    static_cast<double>(plan.parameters);
    text += Formatted("  %-10s %d, %.3g %% of the elements", name, mode.tensors, share);
    std::vector<std::string> families;
    for (const auto& [family, count] : mode.families) {
      if (!family.empty()) families.push_back(absl::StrCat(family, " ", count));
    }
    if (!families.empty()) absl::StrAppend(&text, ": ", absl::StrJoin(families, ", "));
    text += "\n";
  }
  return text;
}

std::string TensorsText(const Plan& plan) {
  size_t width = 6;
  for (const PlannedTensor& tensor : plan.tensors) {
    width = std::max(width, std::min<size_t>(tensor.spec.name.size(), 80));
  }
  const int w = static_cast<int>(width);
  const bool whole = MergesWholeModels(plan);
  std::string text = Formatted("%-*s  %-5s  %-20s  %-15s  %-9s  %s\n", w, "tensor", "dtype",
                               "shape", "mode", "family", "leaves");
  for (const PlannedTensor& tensor : plan.tensors) {
    text += Formatted("%-*s  %-5s  %-20s  %-15s  %-9s  %d%s\n", w, OneLine(tensor.spec.name),
                      OutputTypeName(tensor), ShapeText(tensor.spec.shape), tensor.needs.mode,
                      tensor.needs.family.empty() ? "-" : tensor.needs.family, tensor.leaves,
                      RemarksText(tensor, whole));
  }
  return text;
}

}  // namespace

std::string UnitTensorsText(const Plan& plan, uint32_t unit) {
  if (unit >= plan.units.size()) return "";
  std::optional<uint32_t> first;
  std::set<uint32_t> tensors;
  for (const Segment& segment : plan.units[unit].segments) {
    if (segment.header) continue;
    if (!first.has_value()) first = segment.tensor;
    tensors.insert(segment.tensor);
  }
  if (!first.has_value()) return "";
  const std::string& name = plan.tensors[*first].spec.name;
  if (tensors.size() == 1) return name;
  return absl::StrCat(name, " and ", tensors.size() - 1, " more");
}

std::string WarningsText(const Plan& plan, size_t limit) {
  std::string text;
  for (size_t i = 0; i < std::min(limit, plan.warnings.size()); ++i) {
    absl::StrAppend(&text, "warning: ", OneLine(plan.warnings[i]), "\n");
  }
  if (plan.warnings.size() > limit) {
    absl::StrAppend(&text, "warning: and ", plan.warnings.size() - limit,
                    " more; `merganser plan` lists them all\n");
  }
  return text;
}

std::string NotesText(const Plan& plan) {
  std::string text;
  for (const std::string& note : plan.notes) absl::StrAppend(&text, "note: ", OneLine(note), "\n");
  return text;
}

std::string PlanText(const Plan& plan, const StorageRequests& requests,
                     const PlanTextOptions& options) {
  const bool whole = MergesWholeModels(plan);
  std::string text = absl::StrCat("method       ", plan.method.method, "\n");
  if (const std::string parameters = ParametersText(plan.method); !parameters.empty()) {
    absl::StrAppend(&text, "parameters   ", parameters, "\n");
  }
  for (size_t i = 0; i < plan.overrides.size(); ++i) {
    text += Formatted("parameters %d  ", static_cast<int>(i + 1));
    absl::StrAppend(&text, ParametersText(plan.overrides[i]), "\n");
  }
  for (size_t i = 0; i < plan.models.size(); ++i) {
    text += Formatted(
        "%-13s%s\n",
        absl::StrCat(i == 0 && plan.has_base ? "base" : "model", whole ? "" : absl::StrCat(" ", i)),
        OneLine(plan.models[i].uri));
    if (!plan.models[i].stored.empty()) {
      absl::StrAppend(&text, "  stored as  ", DescribeFormats(plan.models[i].stored), "\n");
    }
    for (const AdapterOrigin& adapter : plan.models[i].adapters) {
      text +=
          Formatted("%-13s%s: %s\n", "  adapter", OneLine(adapter.uri), DescribeAdapter(adapter));
    }
  }
  absl::StrAppend(&text, ModesText(plan));
  absl::StrAppend(&text, "elements     ", plan.parameters, "\n");
  absl::StrAppend(&text, "shards       ", plan.shards.size(), "\n");
  absl::StrAppend(&text, "units        ", plan.units.size(), " in ", plan.rounds,
                  plan.rounds == 1 ? " round\n" : " rounds\n");
  absl::StrAppend(&text, "reads        ", FormatBytes(plan.bytes_read), "\n");
  absl::StrAppend(&text, "writes       ", FormatBytes(plan.bytes_written), "\n");
  absl::StrAppend(&text, "requests     ", requests.reads, " to read, ", requests.writes,
                  " to write, and a few a shard beside them\n");
  if (plan.output.whole_pieces) {
    absl::StrAppend(&text, "pieces       ", requests.writes, " of ",
                    FormatBytes(requests.least_piece), " to ", FormatBytes(requests.most_piece),
                    "\n");
  }
  absl::StrAppend(&text, "peak memory  ", FormatBytes(plan.peak_leaf_memory),
                  " for the largest piece, beside the program's own\n");
  if (options.read_rate.has_value()) {
    const double seconds =
        static_cast<double>(plan.bytes_read) / static_cast<double>(*options.read_rate);
    absl::StrAppend(&text, "time         ", DurationText(seconds), " to read at ",
                    FormatBytes(*options.read_rate), "/s; computing and writing go on meanwhile\n");
  }
  absl::StrAppend(&text, "digest       ", plan.digest, "\n");
  absl::StrAppend(&text, NotesText(plan), WarningsText(plan, plan.warnings.size()));
  if (options.tensors) absl::StrAppend(&text, "\n", TensorsText(plan));
  return text;
}

std::string PlanJson(const Plan& plan, const StorageRequests& requests) {
  Json json;
  json["method"] = plan.method.method;
  json["parameters"] = Parameters(plan.method);
  json["per_model"] = PerModel(plan.method);
  Json overrides = Json::array();
  for (const MethodConfig& method : plan.overrides) {
    overrides.push_back({{"parameters", Parameters(method)}, {"per_model", PerModel(method)}});
  }
  json["overrides"] = std::move(overrides);
  json["has_base"] = plan.has_base;
  Json models = Json::array();
  for (const PlannedModel& model : plan.models) {
    uint64_t bytes = 0;
    for (const CheckpointShard& shard : model.shards) bytes += shard.info.size;
    models.push_back({{"uri", model.uri}, {"shards", model.shards.size()}, {"bytes", bytes}});
    if (!DescribeOrigin(model).empty()) models.back()["origin"] = OriginJson(model);
    for (const AdapterOrigin& adapter : model.adapters) {
      models.back()["adapters"].push_back({{"uri", adapter.uri},
                                           {"weight", adapter.weight},
                                           {"rank", {adapter.least_rank, adapter.most_rank}},
                                           {"alpha", {adapter.least_alpha, adapter.most_alpha}},
                                           {"scale", {adapter.least_scale, adapter.most_scale}},
                                           {"modules", adapter.modules},
                                           {"expected", adapter.expected},
                                           {"dora", adapter.dora},
                                           {"whole", adapter.whole}});
    }
  }
  json["models"] = std::move(models);
  json["rounds"] = plan.rounds;
  json["elements"] = plan.parameters;
  json["bytes_read"] = plan.bytes_read;
  json["bytes_written"] = plan.bytes_written;
  json["peak_leaf_memory"] = plan.peak_leaf_memory;
  json["digest"] = plan.digest;
  json["requests"] = {{"reads", requests.reads}, {"writes", requests.writes}};
  if (plan.output.whole_pieces) {
    json["pieces"] = {{"count", requests.writes},
                      {"least_bytes", requests.least_piece},
                      {"most_bytes", requests.most_piece}};
  }
  Json tensors = Json::array();
  const bool whole = MergesWholeModels(plan);
  for (const PlannedTensor& tensor : plan.tensors) {
    tensors.push_back({{"name", tensor.spec.name},
                       {"dtype", OutputTypeName(tensor)},
                       {"shape", tensor.spec.shape},
                       {"mode", tensor.needs.mode},
                       {"family", tensor.needs.family},
                       {"tied", tensor.tied},
                       {"leaves", tensor.leaves},
                       {"shard", plan.shards[tensor.shard].key},
                       {"offset", tensor.offset}});
    if (tensor.method > 0) tensors.back()["method"] = tensor.method;
    if (whole) continue;
    Json sources = Json::array();
    for (const PlannedSource& source : tensor.sources) {
      sources.push_back({source.model, source.tensor});
    }
    tensors.back()["sources"] = std::move(sources);
  }
  json["tensors"] = std::move(tensors);
  Json shards = Json::array();
  for (const PlannedShard& shard : plan.shards) {
    shards.push_back({{"file", shard.key}, {"bytes", shard.size}});
  }
  json["shards"] = std::move(shards);
  Json units = Json::array();
  for (const Unit& unit : plan.units) {
    units.push_back({{"file", plan.shards[unit.shard].key},
                     {"begin", unit.begin},
                     {"end", unit.end},
                     {"segments", unit.segments.size()},
                     {"bytes_read", unit.bytes_in},
                     {"memory", unit.memory}});
  }
  json["units"] = std::move(units);
  Json groups = Json::array();
  for (const PlannedGroup& group : plan.groups) {
    groups.push_back({{"key", group.key},
                      {"tensors", group.tensors.size()},
                      {"elements", group.elements},
                      {"in_rounds", group.spans}});
  }
  json["groups"] = std::move(groups);
  json["warnings"] = plan.warnings;
  json["notes"] = plan.notes;
  return ShownJson(json.dump(1, ' ', false, Json::error_handler_t::replace)) + "\n";
}

}  // namespace merganser
