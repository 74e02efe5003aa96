#include "common/plan/model_origin.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace merganser {
namespace {

using Json = nlohmann::ordered_json;

// As many adapters are told on a line.
constexpr size_t kTold = 4;

std::string AdaptersText(const std::vector<AdapterOrigin>& adapters) {
  if (adapters.size() == 1) return DescribeAdapter(adapters[0]);
  std::vector<std::string> parts;
  parts.reserve(kTold + 1);
  for (size_t i = 0; i < std::min(adapters.size(), kTold); ++i) {
    parts.push_back(absl::StrCat(adapters[i].given, ": ", DescribeAdapter(adapters[i])));
  }
  if (adapters.size() > kTold) {
    parts.push_back(absl::StrCat("and ", adapters.size() - kTold, " more adapters"));
  }
  return absl::StrJoin(parts, "; ");
}

Json Side(uint64_t extent) { return extent == 0 ? Json(nullptr) : Json(extent); }

}  // namespace

std::string DescribeOrigin(const PlannedModel& model) {
  std::vector<std::string> parts;
  if (!model.adapters.empty()) {
    parts.push_back(AdaptersText(model.adapters));
    parts.push_back(absl::StrCat("on ", model.uri));
  }
  if (!model.stored.empty()) {
    parts.push_back(absl::StrCat("stored as ", DescribeFormats(model.stored)));
  }
  return absl::StrJoin(parts, ", ");
}

Json OriginJson(const PlannedModel& model) {
  Json json = {{"text", DescribeOrigin(model)}};
  if (!model.adapters.empty()) json["on"] = model.uri;
  json["stored_as"] = DescribeFormats(model.stored);
  Json stored = Json::array();
  for (const StoredFormat& format : model.stored) {
    Json entry = {
        {"format", format.name}, {"tensors", format.tensors}, {"elements", format.elements}};
    if (format.scales.has_value()) {
      const ScalesOfFormat& scales = *format.scales;
      entry["scales"] = std::string(DTypeName(scales.dtype));
      entry["block"] = Json::array({Side(scales.block_rows), Side(scales.block_cols)});
    }
    stored.push_back(std::move(entry));
  }
  json["stored"] = std::move(stored);
  return json;
}

}  // namespace merganser
