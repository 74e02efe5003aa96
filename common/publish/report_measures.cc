#include "common/publish/report_measures.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "common/engine/rounding_report.h"

namespace merganser {
namespace {

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

}  // namespace

std::vector<MeasuredTensor> MeasuredTensors(const Plan& plan,
                                            const std::vector<UnitResult>& results) {
  std::vector<MeasuredTensor> measured(plan.tensors.size());
  for (const UnitResult& result : results) {
    for (const LeafReport& report : result.leaves) {
      if (report.tensor >= measured.size()) continue;
      LeafReport& leaf = measured[report.tensor].leaves[report.leaf];
      Append(report.fields, leaf.fields);
      leaf.seconds += report.seconds;
    }
  }
  for (size_t t = 0; t < measured.size(); ++t) {
    MeasuredTensor& of = measured[t];
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

std::vector<ReportFields> MeasuredGates(const Plan& plan, const std::vector<UnitResult>& results) {
  std::vector<ReportFields> groups(plan.groups.size());
  for (const UnitResult& result : results) {
    for (const GroupReport& report : result.groups) {
      if (report.group < groups.size()) Append(report.fields, groups[report.group]);
    }
  }
  return groups;
}

ReportFields TotalsOf(const PlannedTensor& tensor, const MeasuredTensor& measured) {
  ReportFields totals = measured.totals;
  AddShares(tensor.elements, totals);
  TellRounding(totals);
  return totals;
}

ReportFields TotalsOf(const PlannedGroup& group, const std::vector<MeasuredTensor>& measured) {
  ReportFields totals;
  for (const uint32_t tensor : group.tensors) {
    for (const ReportField& field : measured[tensor].totals) AddUp(field, totals);
  }
  AddShares(group.elements, totals);
  TellRounding(totals);
  return totals;
}

}  // namespace merganser
