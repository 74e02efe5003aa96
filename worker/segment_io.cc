#include "worker/segment_io.h"

#include <algorithm>
#include <cstddef>
#include <span>

#include "absl/strings/str_cat.h"
#include "common/base/checked.h"
#include "common/base/status.h"

namespace merganser {
namespace {

uint64_t Aligned(uint64_t bytes) { return CeilDiv(bytes, kBufferAlignment) * kBufferAlignment; }

uint64_t SegmentElements(const PlannedTensor& tensor, const Segment& segment) {
  const uint64_t begin = segment.leaf_begin * tensor.leaf_elements;
  return std::min(segment.leaf_end * tensor.leaf_elements, tensor.elements) - begin;
}

}  // namespace

uint64_t SegmentBufferBytes(const Plan& plan, const Segment& segment) {
  uint64_t bytes = Aligned(segment.bytes_out);
  if (segment.header) return bytes;
  const PlannedTensor& tensor = plan.tensors[segment.tensor];
  const uint64_t elements = SegmentElements(tensor, segment);
  for (const PlannedSource& source : tensor.sources) {
    bytes += Aligned(elements * BytesPerElement(source.dtype));
  }
  return bytes;
}

void LayOutSegment(const Plan& plan, const Segment& segment, SegmentData& data) {
  std::byte* at = data.buffer.data();
  if (segment.header) {
    data.output = {at, DType::kU8, segment.bytes_out};
    return;
  }
  const PlannedTensor& tensor = plan.tensors[segment.tensor];
  const uint64_t elements = SegmentElements(tensor, segment);
  for (const PlannedSource& source : tensor.sources) {
    data.sources.push_back({at, source.dtype, elements});
    at += Aligned(data.sources.back().bytes());
  }
  data.output = {at, tensor.dtype, elements};
}

absl::Status ReadSegment(const JobContext& job, const Segment& segment, const SegmentData& data) {
  if (segment.header) return absl::OkStatus();
  const PlannedTensor& tensor = job.plan.tensors[segment.tensor];
  for (size_t i = 0; i < tensor.sources.size(); ++i) {
    const PlannedSource& source = tensor.sources[i];
    const CheckpointShard& shard = job.plan.models[source.model].shards[source.shard];
    const TensorView& view = data.sources[i];
    const uint64_t offset =
        source.offset + segment.leaf_begin * tensor.leaf_elements * BytesPerElement(source.dtype);
    // The view is const to everybody else; this is where its bytes come from.
    const std::span<std::byte> bytes(const_cast<std::byte*>(view.data), view.bytes());
    const absl::Status status =
        job.inputs[source.model]->Read(shard.key, offset, bytes, shard.info.identity);
    if (!status.ok()) return Annotate(status, absl::StrCat("tensor ", OneLine(source.tensor)));
  }
  return absl::OkStatus();
}

}  // namespace merganser
