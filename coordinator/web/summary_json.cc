#include <algorithm>
#include <cmath>
#include <string>

#include "coordinator/web/summary.h"
#include "nlohmann/json.hpp"

namespace merganser::web {
namespace {

using Json = nlohmann::ordered_json;

Json NumberJson(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json ParametersJson(const ReportedParameters& parameters) {
  Json json = Json::object();
  for (const auto& [key, value] : parameters) json[key] = value;
  return json;
}

Json ModelsJson(const MergeReport& report) {
  Json models = Json::array();
  for (const ReportedModel& model : report.models) {
    Json files = Json::array();
    for (const ReportedFile& file : model.files) {
      files.push_back({{"file", file.file},
                       {"size", file.size},
                       {"identity", file.identity},
                       {"header", file.header}});
    }
    models.push_back({{"role", model.base ? "base" : "expert"},
                      {"model", model.model},
                      {"uri", model.uri},
                      {"files", std::move(files)}});
    if (!model.origin.empty()) models.back()["origin"] = model.origin;
    if (!model.adapters.empty()) models.back()["adapters"] = model.adapters;
  }
  return models;
}

Json TensorsJson(const MergeReport& report, const Findings& found) {
  Json modes = Json::array();
  for (const ModeTotal& total : found.modes) {
    modes.push_back({{"mode", total.mode},
                     {"family", total.family},
                     {"tensors", total.tensors},
                     {"parameters", total.elements}});
  }
  return {{"count", report.tensors.size()},
          {"parameters", report.parameters},
          {"by_mode", std::move(modes)},
          {"copied", found.copied},
          {"tied", found.tied},
          {"noted", found.noted}};
}

Json FellBackJson(const ReadReport& read, size_t most) {
  const Findings& found = read.findings;
  if (found.gates == 0) return nullptr;
  const ReportedMeasure& coherence = *read.report.Find("coherence");
  Json list = Json::array();
  for (size_t i = 0; i < std::min(most, found.fell_back.size()); ++i) {
    const size_t row = found.fell_back[i];
    list.push_back({{"name", RowName(read.report, row)},
                    {"short", ShortRowName(read.report, read.layout, row)},
                    {"coherence", NumberJson(coherence.At(row))},
                    {"jump_distance", NumberJson(coherence.At(row) - found.jump)}});
  }
  return {{"count", found.fell_back.size()},        {"of", found.gates},
          {"parameters", found.fell_back_elements}, {"of_parameters", found.gate_elements},
          {"above_the_jump", found.above},          {"near_the_jump", found.near_jump},
          {"jump", NumberJson(found.jump)},         {"gates", std::move(list)}};
}

Json RunJson(const MergeReport& report) {
  const ReportedRun& run = report.run;
  return {{"job", run.job},
          {"started", run.started},
          {"finished", run.finished},
          {"seconds", NumberJson(run.seconds)},
          {"threads", run.threads},
          {"simd", run.simd},
          {"bytes_read", run.bytes_read},
          {"bytes_written", run.bytes_written},
          {"analysis", run.analysis},
          {"workers", run.workers}};
}

}  // namespace

std::string SummaryJson(const ReadReport& read, size_t most) {
  const MergeReport& report = read.report;
  const Findings& found = read.findings;
  Json per_model = Json::array();
  for (const ReportedParameters& model : report.method.per_model) {
    per_model.push_back(ParametersJson(model));
  }
  Json spreads = Json::object();
  for (const Spread& spread : found.spreads) {
    spreads[spread.name] = {{"count", spread.count},
                            {"least", NumberJson(spread.least)},
                            {"median", NumberJson(spread.median)},
                            {"greatest", NumberJson(spread.greatest)}};
  }
  Json shards = Json::array();
  for (const ReportedFile& shard : report.shards) {
    shards.push_back({{"file", shard.file}, {"size", shard.size}});
  }
  Json shares = Json::array();
  for (const double share : found.shares) shares.push_back(NumberJson(share));
  const Json json = {{"format", 1},
                     {"output", read.output},
                     {"verdict", found.sentences},
                     {"program", report.program},
                     {"numerics", report.numerics},
                     {"plan", report.plan},
                     {"recipe", report.recipe},
                     {"method",
                      {{"name", report.method.name},
                       {"parameters", ParametersJson(report.method.parameters)},
                       {"per_model", std::move(per_model)},
                       {"overrides", report.method.overrides}}},
                     {"models", ModelsJson(report)},
                     {"experts", report.ExpertNames()},
                     {"rounds", report.rounds},
                     {"units", report.units},
                     {"shards", std::move(shards)},
                     {"tensors", TensorsJson(report, found)},
                     {"measured", std::move(spreads)},
                     {"fell_back", FellBackJson(read, most)},
                     {"density", NumberJson(found.density)},
                     {"shares", std::move(shares)},
                     {"warnings", report.warnings},
                     {"notes", report.notes},
                     {"run", RunJson(report)}};
  return json.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}

}  // namespace merganser::web
