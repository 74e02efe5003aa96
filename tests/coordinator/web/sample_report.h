// Reports with known numbers, as merge_report.json has them.
#ifndef MERGANSER_TESTS_COORDINATOR_WEB_SAMPLE_REPORT_H_
#define MERGANSER_TESTS_COORDINATOR_WEB_SAMPLE_REPORT_H_

#include <string>
#include <utility>

#include "coordinator/web/summary.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace merganser::web {

using Json = nlohmann::ordered_json;

inline Json SampleModel(const char* role, const std::string& name, const char* header = "h1") {
  return {{"role", role},
          {"model", "models/" + name},
          {"uri", "/models/" + name},
          {"shards",
           {{{"file", "model.safetensors"},
             {"size", 1000},
             {"identity", name + "-1"},
             {"header", header}}}}};
}

inline Json SampleTensor(const std::string& name, const char* mode, const char* family) {
  return {{"name", name},    {"mode", mode},   {"family", family}, {"dtype", "BF16"},
          {"shape", {4, 5}}, {"elements", 20}, {"tied", false},    {"shard", 0}};
}

// As resmerge measures it: the jump of four experts lies at 0.5.
inline Json SpectralTensor(const std::string& name, const char* family, double coherence) {
  Json tensor = SampleTensor(name, "spectral", family);
  tensor["seconds"] = 0.25;
  tensor["coherence"] = coherence;
  tensor["branch"] = coherence > 0.5 ? 1 : 0;
  tensor["head_agreement"] = 0.125;
  tensor["residual_norm"] = {3, 3, 3, 3};
  tensor["head_norm"] = {4, 4, 4, 0};
  return tensor;
}

// Of four experts; `tensors` is a list.
inline Json SampleReport(Json tensors, const char* method = "resmerge") {
  Json models = Json::array();
  models.push_back(SampleModel("base", "base"));
  for (const char* name : {"math", "code", "tools", "chat"}) {
    models.push_back(SampleModel("expert", name));
  }
  return {{"format", 1},
          {"program", "merganser 0.1.0"},
          {"numerics", 7},
          {"plan", "0123456789abcdef"},
          {"recipe", "merge_method: resmerge\n"},
          {"method",
           {{"name", method},
            {"parameters", {{"scope", "tensor"}, {"rank_topk", 1}}},
            {"per_model", {Json::object(), Json::object(), Json::object(), Json::object()}}}},
          {"models", std::move(models)},
          {"parameters", 20 * tensors.size()},
          {"rounds", 1},
          {"warnings", Json::array()},
          {"shards", {{{"file", "model.safetensors"}, {"size", 5000}}}},
          {"tensors", std::move(tensors)},
          {"groups", Json::array()},
          {"units", Json::array({{{"shard", 0}}})},
          {"run",
           {{"job", ""},
            {"started", "2026-11-29T02:40:00Z"},
            {"finished", "2026-11-29T02:41:00Z"},
            {"seconds", 60},
            {"threads", 2},
            {"simd", "AVX3"},
            {"bytes_read", 2048},
            {"bytes_written", 1024},
            {"workers", Json::array()}}}};
}

inline ReadReport Read(const Json& report, const std::string& output = "/out") {
  absl::StatusOr<ReadReport> read = ReadReportText(report.dump(), output, output + "/report");
  EXPECT_TRUE(read.ok()) << read.status();
  return read.ok() ? *std::move(read) : ReadReport();
}

}  // namespace merganser::web

#endif  // MERGANSER_TESTS_COORDINATOR_WEB_SAMPLE_REPORT_H_
