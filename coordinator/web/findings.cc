#include "coordinator/web/findings.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/web/verdict.h"

namespace merganser::web {
namespace {

using Kind = ReportedRow::Kind;

// Of which the spread is told, in this order, where they were measured.
constexpr const char* kSpreads[] = {
    "coherence", "head_agreement",  "head_energy", "beta",      "residual_norm",
    "threshold", "density_reached", "steps",       "gap_ratio", "solver_residual",
};

void CountModes(const MergeReport& report, Findings& found) {
  std::map<std::pair<std::string, std::string>, ModeTotal> modes;
  for (const ReportedTensor& tensor : report.tensors) {
    ModeTotal& total = modes[{tensor.mode, tensor.family}];
    total.mode = tensor.mode;
    total.family = tensor.family;
    ++total.tensors;
    total.elements += tensor.elements;
    found.copied += tensor.mode == "copy";
    found.tied += tensor.tied;
    found.noted += !tensor.note.empty();
  }
  for (auto& [key, total] : modes) found.modes.push_back(std::move(total));
  std::stable_sort(found.modes.begin(), found.modes.end(),
                   [](const ModeTotal& a, const ModeTotal& b) { return a.elements > b.elements; });
}

void MeasureSpreads(const MergeReport& report, Findings& found) {
  for (const char* name : kSpreads) {
    const ReportedMeasure* measure = report.Find(name);
    if (measure == nullptr) continue;
    std::vector<double> values;
    for (size_t i = 0; i < measure->values.size(); ++i) {
      if (!std::isfinite(measure->values[i])) continue;
      // A gate of several tensors counts where these have no value of their own.
      if (report.rows[i / measure->width].kind == Kind::kGroup && !values.empty()) continue;
      values.push_back(measure->values[i]);
    }
    if (values.empty()) continue;
    std::sort(values.begin(), values.end());
    // The lower median: a value that was measured, for an even count too.
    found.spreads.push_back(
        {name, values.size(), values.front(), values[(values.size() - 1) / 2], values.back()});
  }
}

void JudgeGates(const MergeReport& report, Findings& found) {
  const ReportedMeasure* coherence = report.Find("coherence");
  const ReportedMeasure* branch = report.Find("branch");
  if (coherence == nullptr || report.Experts() < 2) return;
  found.jump = 1 / std::sqrt(static_cast<double>(report.Experts()));
  for (size_t row = 0; row < report.rows.size(); ++row) {
    const double value = coherence->At(row);
    if (!std::isfinite(value)) continue;
    const uint64_t elements = RowElements(report, row);
    ++found.gates;
    found.gate_elements += elements;
    found.above += value > found.jump;
    found.near_jump += std::abs(value - found.jump) < kNearJump;
    if (branch == nullptr || branch->At(row) != 0) continue;
    found.fell_back.push_back(row);
    found.fell_back_elements += elements;
  }
  std::stable_sort(found.fell_back.begin(), found.fell_back.end(),
                   [&](size_t a, size_t b) { return coherence->At(a) < coherence->At(b); });
}

void JudgeSelection(const MergeReport& report, Findings& found) {
  const ReportedMeasure* selected = report.Find("selected");
  if (selected == nullptr) return;
  double all = 0;
  uint64_t elements = 0;
  found.shares.assign(report.Experts(), 0);
  for (const ReportedTensor& tensor : report.tensors) {
    bool measured = false;
    for (size_t i = 0; i < std::min(selected->width, found.shares.size()); ++i) {
      const double count = selected->At(tensor.row, i);
      if (!std::isfinite(count)) continue;
      measured = true;
      all += count;
      found.shares[i] += count;
    }
    if (measured) elements += tensor.elements;
  }
  if (elements > 0) found.density = all / static_cast<double>(elements);
  for (double& share : found.shares) share = all > 0 ? share / all : 0;
}

// Of a row: the squared distance that each expert moved, or what was taken from it.
void CountByExpert(const MergeReport& report, const Layout& layout, Findings& found) {
  const ReportedMeasure* selected = report.Find("selected");
  const ReportedMeasure* residual = report.Find("residual_norm");
  const ReportedMeasure* head = report.Find("head_norm");
  ByExpert& by = found.by_expert;
  if (selected != nullptr) {
    by.kind = "selected";
  } else if (residual != nullptr && head != nullptr) {
    by.kind = "moved";
  } else {
    return;
  }
  const bool squares = by.kind == "moved";
  const size_t experts = report.Experts();
  std::map<int32_t, std::vector<double>> layers;
  by.totals.assign(experts, 0);
  for (size_t row = 0; row < report.rows.size(); ++row) {
    if (report.rows[row].kind == Kind::kGroup) continue;
    const int32_t layer = layout.names[report.rows[row].index].layer;
    for (size_t i = 0; i < experts; ++i) {
      double value = 0;
      if (selected == nullptr) {
        if (i >= residual->width || i >= head->width) continue;
        value = residual->At(row, i) * residual->At(row, i) + head->At(row, i) * head->At(row, i);
      } else if (i < selected->width) {
        value = selected->At(row, i);
      }
      if (!std::isfinite(value)) continue;
      by.totals[i] += value;
      if (layer < 0) continue;
      std::vector<double>& of = layers[layer];
      of.resize(experts, 0);
      of[i] += value;
    }
  }
  by.values.assign(experts, {});
  for (const auto& [layer, values] : layers) {
    by.layers.push_back(layer);
    for (size_t i = 0; i < experts; ++i) {
      by.values[i].push_back(squares ? std::sqrt(values[i]) : values[i]);
    }
  }
  if (!squares) return;
  for (double& total : by.totals) total = std::sqrt(total);
}

}  // namespace

Findings Find(const MergeReport& report, const Layout& layout) {
  Findings found;
  CountModes(report, found);
  MeasureSpreads(report, found);
  JudgeGates(report, found);
  JudgeSelection(report, found);
  CountByExpert(report, layout, found);
  found.sentences = Verdict(report, layout, found);
  return found;
}

std::string RowName(const MergeReport& report, size_t row) {
  const ReportedRow& at = report.rows[row];
  if (at.kind == Kind::kGroup) return report.groups[at.index].key;
  const std::string& name = report.tensors[at.index].name;
  return at.kind == Kind::kTensor ? name : absl::StrCat(name, "[", at.leaf, "]");
}

std::string ShortRowName(const MergeReport& report, const Layout& layout, size_t row) {
  const ReportedRow& at = report.rows[row];
  if (at.kind == Kind::kGroup) {
    return absl::StrCat(report.groups[at.index].key, " (one gate of ",
                        report.groups[at.index].tensors, " tensors)");
  }
  const PlacedName& placed = layout.names[at.index];
  std::string name;
  if (placed.layer >= 0) absl::StrAppend(&name, "layer ", placed.layer, " ");
  absl::StrAppend(&name, layout.patterns[placed.pattern].label);
  if (placed.expert >= 0) absl::StrAppend(&name, " ", placed.expert);
  if (at.kind == Kind::kLeaf) absl::StrAppend(&name, " ", at.leaf);
  return name;
}

uint64_t RowElements(const MergeReport& report, size_t row) {
  const ReportedRow& at = report.rows[row];
  if (at.kind == Kind::kGroup) return report.groups[at.index].elements;
  const ReportedTensor& tensor = report.tensors[at.index];
  if (at.kind == Kind::kTensor) return tensor.elements;
  // Leaves of one tensor are of one size, but for the last.
  size_t leaves = 0;
  for (size_t i = tensor.row + 1; i < report.rows.size() && report.rows[i].kind == Kind::kLeaf &&
                                  report.rows[i].index == at.index;
       ++i) {
    ++leaves;
  }
  return tensor.elements / std::max<size_t>(1, leaves);
}

}  // namespace merganser::web
