#include "worker/segment_compute.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/linalg/kernels.h"

namespace merganser {
namespace {

std::string DescribeSource(const JobContext& job, const PlannedSource& source) {
  const CheckpointShard& shard = job.plan.models[source.model].shards[source.shard];
  return absl::StrCat(job.inputs[source.model]->Describe(shard.key), ": tensor ",
                      OneLine(source.tensor));
}

// Integers and bool: the same in every model, or no merge has a meaning.
absl::Status CopyEqual(const JobContext& job, const PlannedTensor& tensor, const Segment& segment,
                       SegmentData& data) {
  const TensorView& first = data.sources[0];
  for (size_t i = 1; i < data.sources.size(); ++i) {
    if (std::memcmp(first.data, data.sources[i].data, first.bytes()) == 0) continue;
    const auto at = std::mismatch(first.data, first.data + first.bytes(), data.sources[i].data);
    const uint64_t element =
        segment.leaf_begin * tensor.leaf_elements +
        static_cast<uint64_t>(at.first - first.data) / BytesPerElement(first.dtype);
    return absl::DataLossError(absl::StrCat(
        DescribeSource(job, tensor.sources[i]), ": element ", element,
        " differs from the same tensor in ", OneLine(job.plan.models[tensor.sources[0].model].uri),
        "; ", std::string(DTypeName(first.dtype)),
        " tensors are not merged, expected equal values in all models"));
  }
  std::memcpy(data.output.data, first.data, first.bytes());
  return absl::OkStatus();
}

absl::Status CheckFinite(const JobContext& job, const PlannedTensor& tensor, const Segment& segment,
                         const SegmentData& data, Executor& executor) {
  for (size_t i = 0; i < data.sources.size(); ++i) {
    const std::optional<uint64_t> index = FindNonFinite(data.sources[i], executor);
    if (!index.has_value()) continue;
    const double value = ElementAt(data.sources[i], *index);
    return absl::DataLossError(
        absl::StrCat(DescribeSource(job, tensor.sources[i]), ": element ",
                     segment.leaf_begin * tensor.leaf_elements + *index, " is ",
                     std::isnan(value) ? "NaN" : "infinite",
                     ", expected a finite number: the model is damaged or its training diverged"));
  }
  return absl::OkStatus();
}

// Analyze, reduce and apply in one visit: the gate's scope is the leaf.
absl::Status VisitLeaf(const MergeMethod& method, const Leaf& leaf, MutableTensorView out,
                       LeafReport& report, Executor& executor) {
  Gate gate;
  Analysis analysis;
  for (int round = 0; round < leaf.needs->rounds; ++round) {
    absl::StatusOr<Analysis> found = method.Analyze(leaf, round, gate, executor);
    if (!found.ok()) return found.status();
    analysis = *std::move(found);
    std::move(analysis.report.begin(), analysis.report.end(), std::back_inserter(report.fields));
    absl::StatusOr<Gate> next = method.Reduce(*leaf.needs, round, analysis.stats, report.fields);
    if (!next.ok()) return next.status();
    gate = *std::move(next);
  }
  return method.Apply(leaf, gate, analysis.keepsake, out, executor);
}

}  // namespace

absl::StatusOr<std::vector<LeafReport>> ComputeSegment(const JobContext& job,
                                                       const Segment& segment, uint32_t shard,
                                                       SegmentData& data, const Clock& clock,
                                                       Executor& executor) {
  std::vector<LeafReport> reports;
  if (segment.header) {
    const std::string& header = job.plan.shards[shard].header;
    std::memcpy(data.output.data, header.data(), header.size());
    return reports;
  }
  const PlannedTensor& tensor = job.plan.tensors[segment.tensor];
  if (tensor.needs.mode == "copy") {
    MERGANSER_RETURN_IF_ERROR(CopyEqual(job, tensor, segment, data));
    return reports;
  }
  MERGANSER_RETURN_IF_ERROR(CheckFinite(job, tensor, segment, data, executor));

  const size_t dims = tensor.spec.shape.size();
  const bool matrices = tensor.needs.split != Split::kElements;
  std::vector<TensorView> slices(data.sources.size());
  for (uint64_t index = segment.leaf_begin; index < segment.leaf_end; ++index) {
    const MonotonicTime start = clock.Now();
    const uint64_t begin = (index - segment.leaf_begin) * tensor.leaf_elements;
    const uint64_t count = std::min(tensor.leaf_elements, data.output.size - begin);
    for (size_t i = 0; i < slices.size(); ++i) slices[i] = data.sources[i].Slice(begin, count);
    Leaf leaf;
    leaf.tensor = &tensor.spec;
    leaf.needs = &tensor.needs;
    leaf.index = index;
    leaf.first_element = index * tensor.leaf_elements;
    leaf.rows = matrices ? static_cast<int64_t>(tensor.spec.shape[dims - 2]) : 1;
    leaf.cols =
        matrices ? static_cast<int64_t>(tensor.spec.shape[dims - 1]) : static_cast<int64_t>(count);
    leaf.experts = slices;
    if (tensor.has_base_source) {
      leaf.base = slices[0];
      leaf.experts = leaf.experts.subspan(1);
    }
    LeafReport report;
    report.tensor = segment.tensor;
    report.leaf = index;
    const absl::Status status =
        VisitLeaf(*job.method, leaf, data.output.Slice(begin, count), report, executor);
    if (!status.ok()) {
      std::string where = absl::StrCat(job.output->Describe(job.plan.shards[shard].key),
                                       ": tensor ", OneLine(tensor.spec.name));
      if (matrices && tensor.leaves > 1) absl::StrAppend(&where, ", matrix ", index);
      return Annotate(status, where);
    }
    report.seconds = std::chrono::duration<double>(clock.Now() - start).count();
    if (!report.fields.empty()) reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace merganser
