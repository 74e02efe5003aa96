#include "coordinator/web/page_data.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/web/encode.h"
#include "nlohmann/json.hpp"

namespace merganser::web {
namespace {

using Json = nlohmann::ordered_json;
using Kind = ReportedRow::Kind;

// The gates that a page lists as fallen back come from its columns.
constexpr size_t kListed = 0;
// So do the tensors that differ most. Of reports with other rows, so many are paired.
constexpr size_t kMostPairs = size_t{1} << 17;

// Most important first; all others follow in the report's order.
constexpr std::string_view kFirst[] = {
    "coherence", "branch",         "density_reached", "share",
    "seconds",   "head_agreement", "head_energy",     "beta",
    "steps",     "selected",       "ill_defined",     "residual_norm",
    "head_norm", "threshold",      "backbone_norm",   "correction_norm"};
// What follows from others, within what float32 tells.
constexpr std::string_view kDerived[] = {"jump_distance"};

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}

// Whole numbers from `offset` on, in as few bytes each as they fit in.
Json Whole(const std::vector<int64_t>& values, int64_t offset) {
  int64_t most = 0;
  for (const int64_t value : values) most = std::max(most, value - offset);
  std::string bytes;
  const size_t width = most <= 0xff ? 1 : most <= 0xffff ? 2 : 4;
  bytes.reserve(values.size() * width);
  for (const int64_t value : values) {
    const auto shifted = static_cast<uint32_t>(value - offset);
    for (size_t i = 0; i < width; ++i) bytes += static_cast<char>(shifted >> (8 * i) & 0xff);
  }
  return {{"type", width == 1   ? "u8"
                   : width == 2 ? "u16"
                                : "u32"},
          {"offset", offset},
          {"data", Base64(bytes)}};
}

// Bytes a value takes as whole numbers; 0 where it has to be float32.
size_t WholeWidth(const std::vector<double>& values) {
  double most = 0;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    if (value < 0 || value != std::floor(value)) return 0;
    most = std::max(most, value);
  }
  return most < 0xff ? 1 : most < 0xffff ? 2 : 0;
}

Json Column(const ReportedMeasure& measure) {
  std::string bytes;
  const size_t width = WholeWidth(measure.values);
  for (const double value : measure.values) {
    if (width == 0) {
      const auto narrow = static_cast<float>(value);
      bytes.append(reinterpret_cast<const char*>(&narrow), sizeof(narrow));
      continue;
    }
    const auto whole = std::isfinite(value) ? static_cast<uint32_t>(value) : 0xffffu;
    for (size_t i = 0; i < width; ++i) bytes += static_cast<char>(whole >> (8 * i) & 0xff);
  }
  return {{"name", measure.name},
          {"list", measure.list},
          {"width", measure.width},
          {"type", width == 0   ? "f32"
                   : width == 1 ? "u8"
                                : "u16"},
          {"data", Base64(bytes)}};
}

bool Contains(const auto& words, std::string_view word) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

std::vector<const ReportedMeasure*> InOrder(const MergeReport& report) {
  std::vector<const ReportedMeasure*> order;
  for (const std::string_view name : kFirst) {
    if (const ReportedMeasure* measure = report.Find(name)) order.push_back(measure);
  }
  for (const ReportedMeasure& measure : report.measures) {
    const bool derived = Contains(kDerived, measure.name) && report.Find("coherence") != nullptr;
    if (measure.values.empty() || Contains(kFirst, measure.name) || derived) continue;
    order.push_back(&measure);
  }
  return order;
}

Json Columns(const MergeReport& report, size_t budget, Json& left_out) {
  Json columns = Json::array();
  size_t used = 0;
  for (const ReportedMeasure* measure : InOrder(report)) {
    const size_t width = WholeWidth(measure->values);
    const size_t bytes = measure->values.size() * (width == 0 ? 4 : width) * 4 / 3;
    if (used + bytes > budget) {
      left_out.push_back(measure->name);
      continue;
    }
    used += bytes;
    columns.push_back(Column(*measure));
  }
  return columns;
}

Json Patterns(const Layout& layout) {
  Json patterns = Json::array();
  for (const NamePattern& pattern : layout.patterns) {
    patterns.push_back({{"parts", pattern.parts},
                        {"layer", pattern.layer},
                        {"expert", pattern.expert},
                        {"label", pattern.label},
                        {"rank", pattern.rank}});
  }
  return patterns;
}

// What tensors of a kind share stands once; each tells its kind.
Json Tensors(const MergeReport& report, const Layout& layout, Json& kinds) {
  std::map<std::string, int64_t> known;
  std::vector<int64_t> kind, pattern, layer, expert;
  for (size_t i = 0; i < report.tensors.size(); ++i) {
    const ReportedTensor& tensor = report.tensors[i];
    Json value = {{"mode", tensor.mode},   {"family", tensor.family},     {"dtype", tensor.dtype},
                  {"shape", tensor.shape}, {"elements", tensor.elements}, {"tied", tensor.tied},
                  {"note", tensor.note}};
    const auto [found, added] = known.emplace(Dump(value), static_cast<int64_t>(kinds.size()));
    if (added) kinds.push_back(std::move(value));
    kind.push_back(found->second);
    pattern.push_back(layout.names[i].pattern);
    layer.push_back(layout.names[i].layer);
    expert.push_back(layout.names[i].expert);
  }
  return {{"count", report.tensors.size()},
          {"kind", Whole(kind, 0)},
          {"pattern", Whole(pattern, 0)},
          {"layer", Whole(layer, -1)},
          {"expert", Whole(expert, -1)}};
}

// Of reports whose rows are not just their tensors.
Json Rows(const MergeReport& report) {
  if (report.rows.size() == report.tensors.size()) return nullptr;
  std::vector<int64_t> tensor, leaf, gate;
  for (const ReportedRow& row : report.rows) {
    const bool group = row.kind == Kind::kGroup;
    tensor.push_back(group ? -1 : row.index);
    // Of a gate of several tensors: which one it is.
    leaf.push_back(group ? row.index : row.kind == Kind::kLeaf ? row.leaf : -1);
    gate.push_back(static_cast<int64_t>(row.gate));
  }
  return {{"count", report.rows.size()},
          {"tensor", Whole(tensor, -1)},
          {"leaf", Whole(leaf, -1)},
          {"gate", Whole(gate, 0)}};
}

Json NumbersJson(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) {
    list.push_back(std::isfinite(value) ? Json(static_cast<float>(value)) : Json(nullptr));
  }
  return list;
}

Json ByExpertJson(const ByExpert& by) {
  if (by.kind.empty()) return nullptr;
  Json values = Json::array();
  for (const std::vector<double>& expert : by.values) values.push_back(NumbersJson(expert));
  return {{"kind", by.kind},
          {"layers", by.layers},
          {"values", std::move(values)},
          {"totals", NumbersJson(by.totals)}};
}

std::string Side(const ReadReport& read, size_t column_bytes) {
  const MergeReport& report = read.report;
  Json left_out = report.left_out;
  if (left_out.is_null()) left_out = Json::array();
  Json columns = Columns(report, column_bytes, left_out);
  Json kinds = Json::array();
  Json tensors = Tensors(report, read.layout, kinds);
  Json groups = Json::array();
  for (const ReportedGroup& group : report.groups) {
    groups.push_back(
        {{"key", group.key}, {"tensors", group.tensors}, {"elements", group.elements}});
  }
  const Json json = {{"left_out", std::move(left_out)},
                     {"patterns", Patterns(read.layout)},
                     {"kinds", std::move(kinds)},
                     {"tensors", std::move(tensors)},
                     {"rows", Rows(report)},
                     {"groups", std::move(groups)},
                     {"columns", std::move(columns)},
                     {"by_expert", ByExpertJson(read.findings.by_expert)}};
  return absl::StrCat("{\"summary\":", SummaryJson(read, kListed), ",", Dump(json).substr(1));
}

// Which rows are the same in both; null where every row is that of its number.
Json Pairs(const ReadReport& a, const ReadReport& b, const std::vector<RowPair>& pairs) {
  const bool same =
      pairs.size() == a.report.rows.size() && pairs.size() == b.report.rows.size() &&
      std::all_of(pairs.begin(), pairs.end(), [](const RowPair& pair) { return pair.a == pair.b; });
  if (same) return nullptr;
  const size_t count = std::min(pairs.size(), kMostPairs);
  std::vector<int64_t> of_a, of_b;
  for (size_t i = 0; i < count; ++i) {
    of_a.push_back(static_cast<int64_t>(pairs[i].a));
    of_b.push_back(static_cast<int64_t>(pairs[i].b));
  }
  return {{"count", count},
          {"left_out", pairs.size() - count},
          {"a", Whole(of_a, 0)},
          {"b", Whole(of_b, 0)}};
}

}  // namespace

std::string ReportPageData(const ReadReport& read, size_t column_bytes) {
  return absl::StrCat("{\"kind\":\"report\",\"a\":", Side(read, column_bytes), "}");
}

std::string ComparisonPageData(const ReadReport& a, const ReadReport& b,
                               const Comparison& comparison, size_t column_bytes) {
  return absl::StrCat(
      "{\"kind\":\"comparison\",\"comparison\":", ComparisonJson(comparison, kListed),
      ",\"pairs\":", Dump(Pairs(a, b, comparison.pairs)), ",\"a\":", Side(a, column_bytes / 2),
      ",\"b\":", Side(b, column_bytes / 2), "}");
}

}  // namespace merganser::web
