#include "common/plan/layout.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/checked.h"
#include "common/base/format.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/format/safetensors.h"
#include "common/plan/encoding.h"
#include "common/plan/known_rank.h"
#include "common/plan/origin_bytes.h"
#include "common/plan/pieces.h"

namespace merganser {
namespace {

// The padding of a segment's buffers counts as memory.
constexpr uint64_t kBufferPadding = kBufferAlignment;
// Fused experts are taken several matrices at a time up to this much output.
constexpr uint64_t kMatrixSegmentBytes = uint64_t{8} << 20;

// Of the output, with scales.
uint64_t WrittenBytes(const PlannedTensor& tensor) {
  return OutputBytes(tensor, tensor.elements) + ScaleBytes(tensor);
}

// The leaves of an encoded tensor that may be cut are whole runs of EncodedStep, or parts of one by
// whole rows, evenly: no leaf is larger for it.
void FitLeaves(PlannedTensor& tensor) {
  const uint64_t step = EncodedStep(tensor);
  if (step <= kLeafElements) {
    tensor.leaf_elements = kLeafElements / step * step;
    return;
  }
  const uint64_t cols = tensor.spec.shape.empty() ? 1 : tensor.spec.shape.back();
  const uint64_t rows = step / cols;
  uint64_t together = std::max<uint64_t>(1, std::min(rows, kLeafElements / cols));
  while (rows % together != 0) --together;
  tensor.leaf_elements = together * cols;
}

// Leaves that an encoded tensor's segments are multiples of.
uint64_t LeavesTogether(const PlannedTensor& tensor) {
  if (!tensor.encoding.has_value()) return 1;
  return std::max<uint64_t>(1, EncodedStep(tensor) / tensor.leaf_elements);
}

// Whether the tensor's analysis needs all of its leaves before any can be applied.
bool SharesGate(const PlannedTensor& tensor) {
  return tensor.group >= 0 && tensor.needs.rounds > 0;
}

uint64_t LeavesPerSegment(const Plan& plan, const PlannedTensor& tensor, uint64_t split_size) {
  if (SharesGate(tensor) && plan.groups[static_cast<size_t>(tensor.group)].tensors.size() == 1 &&
      WrittenBytes(tensor) <= split_size) {
    return tensor.leaves;  // one visit reads it once
  }
  switch (tensor.needs.split) {
    case Split::kWhole:
    case Split::kRows:
    case Split::kElements:
      return LeavesTogether(tensor);
    case Split::kMatrices:
      return std::max<uint64_t>(
          LeavesTogether(tensor),
          kMatrixSegmentBytes / (tensor.leaf_elements * BytesPerElement(tensor.dtype)));
  }
  return 1;
}

// Closes units when they are large enough, so that each is a run of segments.
class UnitCutter {
 public:
  UnitCutter(Plan& plan, uint32_t shard, uint64_t unit_size) : plan_(plan) {
    unit_.shard = shard;
    target_ = UnitTarget(unit_size, plan.shards[shard].size, plan.output);
  }

  // `open`: the unit goes on behind it.
  void Add(const Segment& segment, bool open = false) {
    unit_.end += segment.bytes_out;
    unit_.bytes_in += segment.bytes_in;
    unit_.segments.push_back(segment);
    if (!open && unit_.end - unit_.begin >= target_) Close();
  }

  void Close() {
    if (unit_.segments.empty()) return;
    Unit next;
    next.shard = unit_.shard;
    next.begin = next.end = unit_.end;
    unit_.memory = UnitMemory(plan_, unit_);
    plan_.units.push_back(std::exchange(unit_, next));
  }

 private:
  Plan& plan_;
  Unit unit_;
  uint64_t target_;
};

}  // namespace

void SetLeaves(PlannedTensor& tensor) {
  tensor.elements = 1;
  for (uint64_t side : tensor.spec.shape) tensor.elements *= side;
  if (tensor.elements == 0) return;
  switch (tensor.needs.split) {
    case Split::kWhole:
      tensor.leaf_elements = tensor.elements;
      break;
    case Split::kMatrices:
      tensor.leaf_elements = tensor.elements / tensor.spec.shape[0];
      break;
    case Split::kRows: {
      const uint64_t cols = tensor.spec.shape.empty() ? 1 : tensor.spec.shape.back();
      tensor.leaf_elements = std::max<uint64_t>(1, kLeafElements / cols) * cols;
      break;
    }
    case Split::kElements:
      tensor.leaf_elements = kLeafElements;
      break;
  }
  const bool cut = tensor.needs.split == Split::kRows || tensor.needs.split == Split::kElements;
  if (tensor.encoding.has_value() && cut) FitLeaves(tensor);
  tensor.leaves = CeilDiv(tensor.elements, tensor.leaf_elements);
}

Segment MakeSegment(const Plan& plan, uint32_t index, uint64_t leaf_begin, uint64_t leaf_end) {
  const PlannedTensor& tensor = plan.tensors[index];
  Segment segment;
  segment.tensor = index;
  segment.leaf_begin = leaf_begin;
  segment.leaf_end = leaf_end;
  const uint64_t elements = SegmentElements(tensor, segment);
  segment.bytes_out = OutputBytes(tensor, elements);
  const ReadCost cost = CostOfReading(plan, tensor, leaf_begin * tensor.leaf_elements, elements);
  segment.bytes_in = cost.read;
  // What reading takes beside the elements is given back before the method begins, but for factors.
  const uint64_t leaves = leaf_end - leaf_begin;
  segment.workspace =
      std::max(cost.scratch, tensor.needs.workspace_bytes + leaves * tensor.needs.retained_bytes) +
      FactorBytes(tensor, leaves);
  segment.memory = cost.elements + segment.bytes_out + segment.workspace +
                   (tensor.sources.size() + 1) * kBufferPadding;
  if (tensor.encoding.has_value()) {
    // What the original has, and the values before they are encoded.
    const EncodedRange range = RangeOf(tensor, leaf_begin * tensor.leaf_elements, elements);
    segment.memory += range.values_bytes + range.scales_bytes +
                      elements * BytesPerElement(tensor.dtype) + 3 * kBufferPadding;
  }
  return segment;
}

Segment MakeScalesSegment(const Plan& plan, uint32_t tensor) {
  Segment segment;
  segment.scales = true;
  segment.tensor = tensor;
  segment.bytes_out = ScaleBytes(plan.tensors[tensor]);
  segment.memory = segment.bytes_out + kBufferPadding;
  return segment;
}

Segment MakeHeaderSegment(const Plan& plan, uint32_t shard) {
  Segment segment;
  segment.header = true;
  segment.bytes_out = plan.shards[shard].header.size();
  segment.memory = segment.bytes_out + kBufferPadding;
  return segment;
}

absl::Status LayOutShards(uint64_t max_shard_size, const std::string& stem, Plan& plan) {
  std::vector<std::vector<uint32_t>> members(1);
  uint64_t filled = 0;
  for (uint32_t i = 0; i < plan.tensors.size(); ++i) {
    const uint64_t bytes = WrittenBytes(plan.tensors[i]);
    if (!members.back().empty() && filled + bytes > max_shard_size) {
      members.emplace_back();
      filled = 0;
    }
    members.back().push_back(i);
    filled += bytes;
  }
  if (members.size() > 99'999) {
    return absl::InvalidArgumentError(
        absl::StrCat("key 'max_shard_size': found ", max_shard_size, " bytes, which makes ",
                     members.size(), " shards; expected a size that makes at most 99999"));
  }
  for (uint32_t s = 0; s < members.size(); ++s) {
    std::vector<SafetensorsSpec> specs;
    for (uint32_t i : members[s]) {
      for (WrittenTensor& written : WrittenTensors(plan.tensors[i])) {
        specs.push_back(std::move(written.spec));
      }
    }
    MERGANSER_ASSIGN_OR_RETURN(SafetensorsLayout layout,
                               LayOutSafetensors(specs, {{"format", "pt"}}));
    size_t k = 0;
    for (uint32_t i : members[s]) {
      PlannedTensor& tensor = plan.tensors[i];
      tensor.shard = s;
      tensor.offset = layout.tensors[k].offset;
      k += WrittenTensors(tensor).size();
    }
    PlannedShard shard;
    shard.key = members.size() == 1
                    ? absl::StrCat(stem, ".safetensors")
                    : Formatted("%s-%05d-of-%05d.safetensors", stem, s + 1, members.size());
    shard.header = std::move(layout.header);
    shard.size = layout.file_size;
    plan.shards.push_back(std::move(shard));
  }
  return absl::OkStatus();
}

absl::Status CutUnits(uint64_t unit_size, uint64_t split_size, Plan& plan) {
  uint64_t segments = plan.shards.size();
  for (const PlannedTensor& tensor : plan.tensors) {
    if (tensor.leaves > 0)
      segments += CeilDiv(tensor.leaves, LeavesPerSegment(plan, tensor, split_size)) +
                  (tensor.encoding.has_value() ? 1 : 0);
    if (segments > kMaxSegments) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", Shown(tensor.spec.name), ": with it the plan has more than ",
                       kMaxSegments, " pieces; the model is larger than this program handles"));
    }
  }
  std::vector<std::vector<uint32_t>> members(plan.shards.size());
  for (uint32_t i = 0; i < plan.tensors.size(); ++i) {
    members[plan.tensors[i].shard].push_back(i);
    plan.parameters += plan.tensors[i].elements;
  }
  for (uint32_t s = 0; s < plan.shards.size(); ++s) {
    UnitCutter cutter(plan, s, unit_size);
    cutter.Add(MakeHeaderSegment(plan, s));
    for (uint32_t i : members[s]) {
      if (plan.tensors[i].leaves == 0) continue;
      const bool encoded = plan.tensors[i].encoding.has_value();
      const uint64_t step = LeavesPerSegment(plan, plan.tensors[i], split_size);
      for (uint64_t leaf = 0; leaf < plan.tensors[i].leaves; leaf += step) {
        cutter.Add(MakeSegment(plan, i, leaf, std::min(leaf + step, plan.tensors[i].leaves)),
                   encoded);
      }
      if (encoded) cutter.Add(MakeScalesSegment(plan, i));
    }
    cutter.Close();
    plan.bytes_written += plan.shards[s].size;
  }
  for (PlannedGroup& group : plan.groups) {
    uint64_t segments_of_group = 0;
    for (const uint32_t t : group.tensors) {
      const PlannedTensor& tensor = plan.tensors[t];
      group.elements += tensor.elements;
      if (tensor.leaves > 0) {
        segments_of_group += CeilDiv(tensor.leaves, LeavesPerSegment(plan, tensor, split_size));
      }
    }
    group.spans = segments_of_group > 1;
    if (group.spans) {
      plan.rounds = std::max(plan.rounds, 1 + plan.tensors[group.tensors[0]].needs.rounds);
    }
  }
  for (const Unit& unit : plan.units) {
    plan.bytes_read += unit.bytes_in;
    for (const Segment& segment : unit.segments) {
      if (!InRounds(plan, segment)) continue;
      plan.bytes_read +=
          segment.bytes_in * static_cast<uint64_t>(plan.tensors[segment.tensor].needs.rounds);
    }
    plan.peak_leaf_memory = std::max(plan.peak_leaf_memory, unit.memory);
  }
  return absl::OkStatus();
}

}  // namespace merganser
