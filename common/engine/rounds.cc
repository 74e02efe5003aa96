#include "common/engine/rounds.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"

namespace merganser {
namespace {

bool AnalyzedIn(const Plan& plan, const PlannedGroup& group, uint32_t round) {
  return group.spans && static_cast<int>(round) < plan.tensors[group.tensors.front()].needs.rounds;
}

}  // namespace

absl::StatusOr<PlanMethods> PlanMethods::Make(const Plan& plan) {
  PlanMethods made;
  MERGANSER_ASSIGN_OR_RETURN(std::shared_ptr<const MergeMethod> first, MakeMethod(plan.method));
  made.methods_.push_back(std::move(first));
  for (const MethodConfig& config : plan.overrides) {
    MERGANSER_ASSIGN_OR_RETURN(std::shared_ptr<const MergeMethod> method, MakeMethod(config));
    made.methods_.push_back(std::move(method));
  }
  for (const PlannedTensor& tensor : plan.tensors) {
    if (tensor.method >= made.methods_.size()) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", Shown(tensor.spec.name),
                                                     ": found method ", tensor.method,
                                                     " of a plan that has ", made.methods_.size()));
    }
  }
  return made;
}

PlanMethods::PlanMethods(std::shared_ptr<const MergeMethod> method) {
  methods_.push_back(std::move(method));
}

bool TakesPart(const Plan& plan, const Segment& segment, uint32_t round, const Gates& gates) {
  if (IsLastRound(plan, round)) return true;
  if (!InRounds(plan, segment)) return false;
  const auto group = static_cast<size_t>(plan.tensors[segment.tensor].group);
  return AnalyzedIn(plan, plan.groups[group], round) &&
         !(group < gates.size() && gates[group].settled);
}

uint64_t RoundBytes(const Plan& plan, const Unit& unit, uint32_t round, const Gates& gates) {
  if (IsLastRound(plan, round)) return unit.end - unit.begin;
  uint64_t bytes = 0;
  for (const Segment& segment : unit.segments) {
    if (TakesPart(plan, segment, round, gates)) bytes += segment.bytes_in;
  }
  return bytes;
}

TotalWork AllRounds(const Plan& plan) {
  TotalWork total;
  for (uint32_t round = 0; static_cast<int>(round) < plan.rounds; ++round) {
    for (const Unit& unit : plan.units) {
      const uint64_t bytes = RoundBytes(plan, unit, round, {});
      total.bytes += bytes;
      total.units += bytes > 0;
    }
  }
  return total;
}

JobRounds::JobRounds(const Plan& plan, const PlanMethods& methods)
    : plan_(plan),
      methods_(methods),
      gates_(std::make_shared<const Gates>(plan.groups.size())),
      results_(plan.units.size()),
      written_(plan.units.size()) {
  BeginRound();
}

void JobRounds::BeginRound() {
  while (true) {
    units_.clear();
    for (uint32_t u = 0; u < plan_.units.size(); ++u) {
      const auto& segments = plan_.units[u].segments;
      if (std::any_of(segments.begin(), segments.end(), [&](const Segment& segment) {
            return TakesPart(plan_, segment, round_, *gates_);
          })) {
        units_.push_back(u);
      }
    }
    if (last() || !units_.empty()) break;
    ++round_;
  }
  stats_.assign(plan_.groups.size(), GroupStats());
  for (size_t g = 0; g < stats_.size(); ++g) stats_[g].elements = plan_.groups[g].elements;
  missing_.assign(plan_.groups.size(), 0);
  next_ = std::make_shared<Gates>(*gates_);
  if (last()) return;
  for (const uint32_t unit : units_) {
    for (const size_t group : GroupsOf(plan_.units[unit])) ++missing_[group];
  }
}

std::vector<size_t> JobRounds::GroupsOf(const Unit& unit) const {
  std::vector<size_t> groups;
  for (const Segment& segment : unit.segments) {
    if (!TakesPart(plan_, segment, round_, *gates_)) continue;
    groups.push_back(static_cast<size_t>(plan_.tensors[segment.tensor].group));
  }
  std::sort(groups.begin(), groups.end());
  groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
  return groups;
}

void JobRounds::TakeCounts(UnitResult& result) {
  for (const GroupCounts& part : result.counts) {
    if (part.group < stats_.size()) AddCounts(part.counts, stats_[part.group].counts);
  }
  result.counts.clear();
}

void JobRounds::Redo(std::vector<uint32_t> units) {
  redoing_ = true;
  units_ = std::move(units);
  for (const uint32_t unit : units_) written_[unit] = false;
}

void JobRounds::TakeAgain(UnitResult result) {
  UnitResult& kept = results_[result.unit];
  if (redone_.ok() && result.segment_digests != kept.segment_digests) {
    redone_ = absl::InternalError(absl::StrCat("unit ", result.unit,
                                               " was done twice and came out differently: expected "
                                               "the same bytes, do the inputs change, or is a "
                                               "machine's memory faulty?"));
  }
  kept.receipts = std::move(result.receipts);
  written_[result.unit] = true;
}

void JobRounds::Take(UnitResult result) {
  if (redoing_) return TakeAgain(std::move(result));
  TakeCounts(result);
  for (GroupStats::LeafSums& leaf : result.sums) {
    const int32_t group =
        leaf.tensor < plan_.tensors.size() ? plan_.tensors[leaf.tensor].group : -1;
    if (group >= 0) stats_[static_cast<size_t>(group)].leaves.push_back(std::move(leaf));
  }
  result.sums.clear();
  if (!last()) {
    for (const size_t group : GroupsOf(plan_.units[result.unit])) {
      if (--missing_[group] == 0) Derive(group);
    }
  }
  result.keepsake_digests.clear();
  UnitResult& kept = results_[result.unit];
  std::move(kept.leaves.begin(), kept.leaves.end(), std::back_inserter(result.leaves));
  std::move(kept.groups.begin(), kept.groups.end(), std::back_inserter(result.groups));
  result.bytes_read += kept.bytes_read;
  result.seconds += kept.seconds;
  result.stages += kept.stages;
  written_[result.unit] = last();
  kept = std::move(result);
}

void JobRounds::Derive(size_t g) {
  GroupStats stats = std::exchange(stats_[g], {});
  std::sort(stats.leaves.begin(), stats.leaves.end(),
            [](const GroupStats::LeafSums& a, const GroupStats::LeafSums& b) {
              return std::tie(a.tensor, a.leaf) < std::tie(b.tensor, b.leaf);
            });
  const PlannedGroup& group = plan_.groups[g];
  const PlannedTensor& first = plan_.tensors[group.tensors.front()];
  GroupReport report;
  report.group = static_cast<uint32_t>(g);
  absl::StatusOr<Gate> gate = methods_.of(first).Reduce(first.needs, static_cast<int>(round_),
                                                        (*gates_)[g], stats, report.fields);
  if (!gate.ok()) {
    // The same one, whoever came last.
    if (!failure_.has_value() || g < failure_->first) {
      failure_ = {g, Annotate(gate.status(), absl::StrCat("gate of ", Shown(group.key)))};
    }
    return;
  }
  (*next_)[g] = *std::move(gate);
  if (!report.fields.empty()) derived_.push_back(std::move(report));
}

absl::Status JobRounds::Advance() {
  if (failure_.has_value()) return failure_->second;
  std::sort(derived_.begin(), derived_.end(),
            [](const GroupReport& a, const GroupReport& b) { return a.group < b.group; });
  std::move(derived_.begin(), derived_.end(), std::back_inserter(reports_));
  derived_.clear();
  gates_ = std::move(next_);
  ++round_;
  BeginRound();
  return absl::OkStatus();
}

absl::StatusOr<std::vector<UnitResult>> JobRounds::TakeResults() {
  const auto missing = static_cast<size_t>(std::count(written_.begin(), written_.end(), false));
  if (!last() || missing > 0) {
    return absl::InternalError(absl::StrCat("the run ended in round ", round_, " with ", missing,
                                            " of ", results_.size(), " units missing"));
  }
  MERGANSER_RETURN_IF_ERROR(redone_);
  if (!reports_.empty()) {
    // Gates belong to no unit; the first carries what was measured of them.
    auto& groups = results_.front().groups;
    groups.insert(groups.begin(), reports_.begin(), reports_.end());
  }
  return std::move(results_);
}

}  // namespace merganser
