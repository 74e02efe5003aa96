#include "worker/segment_compute.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/linalg/kernels.h"
#include "common/plan/known_rank.h"
#include "worker/block_encoding.h"
#include "worker/source_errors.h"

namespace merganser {
namespace {

absl::Status CheckFinite(const JobContext& job, const PlannedTensor& tensor, const Segment& segment,
                         const SegmentData& data, Executor& executor) {
  for (size_t i = 0; i < data.sources.size(); ++i) {
    const std::optional<uint64_t> index = FindNonFinite(data.sources[i], executor);
    if (!index.has_value()) continue;
    const double value = ElementAt(data.sources[i], *index);
    return NonFiniteElement(DescribeSource(job, tensor.sources[i]),
                            segment.leaf_begin * tensor.leaf_elements + *index, value);
  }
  return absl::OkStatus();
}

// One segment of a mergeable tensor: its leaves, and what is done with them.
class SegmentComputation {
 public:
  SegmentComputation(const LeasedUnit& unit, const Segment& segment, SegmentData& data,
                     const std::vector<Keepsake>& keepsakes, const Clock& clock, Executor& executor)
      : job_(*unit.job),
        unit_(unit),
        segment_(segment),
        tensor_(job_.plan.tensors[segment.tensor]),
        method_(job_.methods->of(tensor_)),
        data_(data),
        kept_(keepsakes),
        clock_(clock),
        executor_(executor) {
    const size_t count = segment.leaf_end - segment.leaf_begin;
    leaves_.resize(count);
    for (size_t i = 0; i < count; ++i) SetLeaf(i);
  }

  absl::StatusOr<SegmentFindings> Run() {
    const bool in_rounds = InRounds(job_.plan, segment_);
    const bool last = IsLastRound(job_.plan, unit_.round);
    if (in_rounds && !last) {
      MERGANSER_RETURN_IF_ERROR(AnalyzeRound());
    } else if (in_rounds) {
      MERGANSER_RETURN_IF_ERROR(ForLeaves([&](size_t i) {
        const Keepsake none;
        return ApplyLeaf(i, GroupGate(), i < kept_.size() ? kept_[i] : none);
      }));
    } else if (tensor_.group >= 0) {
      MERGANSER_RETURN_IF_ERROR(VisitGroup());
    } else {
      MERGANSER_RETURN_IF_ERROR(ForLeaves([&](size_t i) { return VisitLeaf(i); }));
    }
    for (LeafWork& leaf : leaves_) {
      if (!leaf.report.fields.empty()) findings_.leaves.push_back(std::move(leaf.report));
    }
    return std::move(findings_);
  }

 private:
  struct LeafWork {
    Leaf leaf;
    std::vector<TensorView> sources;
    std::vector<const FactoredDelta*> factors;
    MutableTensorView out;
    LeafReport report;
    std::vector<double> sums;
    Keepsake keepsake;
  };

  void SetLeaf(size_t i) {
    LeafWork& work = leaves_[i];
    const uint64_t index = segment_.leaf_begin + i;
    const uint64_t begin = i * tensor_.leaf_elements;
    const uint64_t count = std::min(tensor_.leaf_elements, data_.output.size - begin);
    for (const TensorView& source : data_.sources) {
      work.sources.push_back(source.Slice(begin, count));
    }
    Leaf& leaf = work.leaf;
    leaf.tensor = &tensor_.spec;
    leaf.needs = &tensor_.needs;
    leaf.index = index;
    leaf.first_element = index * tensor_.leaf_elements;
    const Shape& shape = tensor_.spec.shape;
    switch (tensor_.needs.split) {
      case Split::kElements:
        leaf.cols = static_cast<int64_t>(count);
        break;
      case Split::kRows:
      case Split::kWhole:
      case Split::kMatrices:
        leaf.cols = static_cast<int64_t>(shape.empty() ? 1 : shape.back());
        break;
    }
    leaf.rows = static_cast<int64_t>(count) / leaf.cols;
    leaf.experts = work.sources;
    if (tensor_.has_base_source) {
      leaf.base = work.sources[0];
      leaf.experts = leaf.experts.subspan(1);
    }
    if (tensor_.needs.takes_factors) SetFactors(i);
    work.out = data_.output.Slice(begin, count);
    work.report.tensor = segment_.tensor;
    work.report.leaf = index;
  }

  // Those of experts whose rank is known.
  void SetFactors(size_t i) {
    LeafWork& work = leaves_[i];
    for (size_t s = tensor_.has_base_source ? 1 : 0; s < tensor_.sources.size(); ++s) {
      const std::optional<uint64_t> rank = KnownRank(tensor_, tensor_.sources[s]);
      const FactoredDelta* factors = nullptr;
      if (rank == 0) {
        zero_.height = work.leaf.rows;
        zero_.width = work.leaf.cols;
        factors = &zero_;
      } else if (rank.has_value() && s < data_.factors.size() && i < data_.factors[s].size()) {
        factors = &data_.factors[s][i];
      }
      work.factors.push_back(factors);
    }
    work.leaf.factors = work.factors;
  }

  const Gate& GroupGate() const { return (*unit_.gates)[static_cast<size_t>(tensor_.group)]; }

  // Calls `visit(i)` for every leaf, until one fails. One after the other: the
  // workspace is that of one leaf, and kernels spread over threads themselves.
  template <typename Visit>
  absl::Status ForLeaves(Visit visit) {
    for (size_t i = 0; i < leaves_.size(); ++i) {
      const MonotonicTime start = clock_.Now();
      const absl::Status status = visit(i);
      leaves_[i].report.seconds += std::chrono::duration<double>(clock_.Now() - start).count();
      if (status.ok()) continue;
      const bool matrices = tensor_.needs.split == Split::kMatrices && tensor_.leaves > 1;
      return Annotate(
          status, matrices ? absl::StrCat(Place(), ", matrix ", segment_.leaf_begin + i) : Place());
    }
    return absl::OkStatus();
  }

  // What errors begin with.
  std::string Place() const {
    return absl::StrCat(job_.output->Describe(job_.plan.shards[tensor_.shard].key), ": tensor ",
                        Shown(tensor_.spec.name));
  }

  absl::Status AnalyzeLeaf(size_t i, int round, const Gate& state) {
    LeafWork& work = leaves_[i];
    absl::StatusOr<Analysis> found = method_.Analyze(work.leaf, round, state, executor_);
    if (!found.ok()) return found.status();
    // Histograms are added up at once: they are too large to be kept leaf by leaf.
    AddCounts(found->stats.counts, counts_);
    work.sums = std::move(found->stats.sums);
    if (!found->keepsake.values.empty()) work.keepsake = std::move(found->keepsake);
    std::move(found->report.begin(), found->report.end(), std::back_inserter(work.report.fields));
    return absl::OkStatus();
  }

  absl::Status ApplyLeaf(size_t i, const Gate& gate, const Keepsake& keepsake) {
    LeafWork& work = leaves_[i];
    return method_.Apply(work.leaf, gate, keepsake, work.out, work.report.fields, executor_);
  }

  // The stats of leaves [begin, end), which were the last to be analyzed, moved out.
  GroupStats Gather(size_t begin, size_t end) {
    GroupStats stats;
    stats.counts = std::exchange(counts_, {});
    for (size_t i = begin; i < end; ++i) {
      LeafWork& work = leaves_[i];
      stats.leaves.push_back({segment_.tensor, work.leaf.index, std::exchange(work.sums, {})});
      stats.elements += work.out.size;
    }
    return stats;
  }

  // A leaf with a gate of its own: all rounds in one visit.
  absl::Status VisitLeaf(size_t i) {
    Gate gate;
    for (int round = 0; round < tensor_.needs.rounds && !gate.settled; ++round) {
      MERGANSER_RETURN_IF_ERROR(AnalyzeLeaf(i, round, gate));
      absl::StatusOr<Gate> next =
          method_.Reduce(tensor_.needs, round, gate, Gather(i, i + 1), leaves_[i].report.fields);
      if (!next.ok()) return next.status();
      gate = *std::move(next);
    }
    return ApplyLeaf(i, gate, leaves_[i].keepsake);
  }

  // A whole group: all rounds in one visit.
  absl::Status VisitGroup() {
    Gate gate;
    GroupReport report;
    report.group = static_cast<uint32_t>(tensor_.group);
    for (int round = 0; round < tensor_.needs.rounds && !gate.settled; ++round) {
      MERGANSER_RETURN_IF_ERROR(ForLeaves([&](size_t i) { return AnalyzeLeaf(i, round, gate); }));
      absl::StatusOr<Gate> next =
          method_.Reduce(tensor_.needs, round, gate, Gather(0, leaves_.size()), report.fields);
      if (!next.ok()) return Annotate(next.status(), Place());
      gate = *std::move(next);
    }
    if (!report.fields.empty()) findings_.groups.push_back(std::move(report));
    return ForLeaves([&](size_t i) { return ApplyLeaf(i, gate, leaves_[i].keepsake); });
  }

  // This segment's part of a group's analysis.
  absl::Status AnalyzeRound() {
    const auto round = static_cast<int>(unit_.round);
    MERGANSER_RETURN_IF_ERROR(
        ForLeaves([&](size_t i) { return AnalyzeLeaf(i, round, GroupGate()); }));
    GroupStats stats = Gather(0, leaves_.size());
    findings_.sums = std::move(stats.leaves);
    if (!stats.counts.empty()) {
      findings_.counts.push_back({static_cast<uint32_t>(tensor_.group), std::move(stats.counts)});
    }
    bool keeps = false;
    for (LeafWork& work : leaves_) {
      keeps |= !work.keepsake.values.empty();
      findings_.keepsakes.push_back(std::move(work.keepsake));
    }
    if (!keeps) findings_.keepsakes.clear();
    return absl::OkStatus();
  }

  const JobContext& job_;
  const LeasedUnit& unit_;
  const Segment& segment_;
  const PlannedTensor& tensor_;
  const MergeMethod& method_;
  SegmentData& data_;
  const std::vector<Keepsake>& kept_;
  const Clock& clock_;
  Executor& executor_;
  std::vector<LeafWork> leaves_;
  FactoredDelta zero_;  // a task vector of zeros
  Counts counts_;       // of the leaves that were analyzed since Gather
  SegmentFindings findings_;
};

}  // namespace

absl::StatusOr<SegmentFindings> ComputeSegment(const LeasedUnit& unit, const Segment& segment,
                                               SegmentData& data,
                                               const std::vector<Keepsake>& keepsakes,
                                               const Clock& clock, Executor& executor) {
  const JobContext& job = *unit.job;
  if (segment.header) {
    const std::string& header = job.plan.shards[job.plan.units[unit.unit].shard].header;
    std::memcpy(data.output.data, header.data(), header.size());
    return SegmentFindings();
  }
  const PlannedTensor& tensor = job.plan.tensors[segment.tensor];
  if (tensor.needs.mode == "copy") {
    std::memcpy(data.output.data, data.sources[0].data, data.output.bytes());
    return SegmentFindings();
  }
  // The bytes that a later round reads are those that the first one checked.
  if (unit.round == 0 || !InRounds(job.plan, segment)) {
    MERGANSER_RETURN_IF_ERROR(CheckFinite(job, tensor, segment, data, executor));
  }
  absl::StatusOr<SegmentFindings> findings =
      SegmentComputation(unit, segment, data, keepsakes, clock, executor).Run();
  data.factors.clear();  // the output waits for a writer with no more than it needs
  if (!findings.ok() || !tensor.encoding.has_value() || !IsLastRound(job.plan, unit.round)) {
    return findings;
  }
  findings->rounding = EncodeSegment(tensor, segment, data, executor);
  return findings;
}

}  // namespace merganser
