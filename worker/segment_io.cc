#include "worker/segment_io.h"

#include <cstddef>
#include <optional>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/checked.h"
#include "common/base/digest.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/engine/keepsake.h"
#include "common/engine/working_folder.h"

namespace merganser {
namespace {

uint64_t Aligned(uint64_t bytes) { return CeilDiv(bytes, kBufferAlignment) * kBufferAlignment; }

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
    if (!status.ok()) return Annotate(status, absl::StrCat("tensor ", Shown(source.tensor)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> WriteKeepsakes(const JobContext& job, uint32_t unit, uint32_t segment,
                                           const std::vector<Keepsake>& keepsakes) {
  const std::string bytes = PackKeepsakes({job.plan.digest, unit, segment}, keepsakes);
  const std::string key = KeepsakeKey(job.uid, unit, segment);
  MERGANSER_RETURN_IF_ERROR(job.output->Put(key, bytes));
  // Of a worker that was paused the job may be over, and its working folder gone: what
  // it puts there now nobody would remove.
  MERGANSER_ASSIGN_OR_RETURN(const bool lives, HasRecordedWrites(*job.output, job.uid));
  if (!lives) {
    MERGANSER_RETURN_IF_ERROR(job.output->Delete(key));
    return absl::AbortedError(
        absl::StrCat(job.output->Describe(key), ": the job is over, its working folder cleared"));
  }
  return DigestHex(bytes);
}

absl::StatusOr<std::vector<Keepsake>> ReadKeepsakes(const JobContext& job, uint32_t unit,
                                                    uint32_t segment) {
  const std::string key = KeepsakeKey(job.uid, unit, segment);
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, job.output->Stat(key));
  if (!info.has_value()) {
    return absl::DataLossError(
        absl::StrCat(job.output->Describe(key),
                     ": missing, expected what an earlier round of this job put "
                     "there; was the working folder cleared while the job ran?"));
  }
  std::string bytes(info->size, '\0');
  MERGANSER_RETURN_IF_ERROR(job.output->Read(
      key, 0, std::as_writable_bytes(std::span<char>(bytes.data(), bytes.size())), info->identity));
  absl::StatusOr<std::vector<Keepsake>> parsed =
      ParseKeepsakes(bytes, {job.plan.digest, unit, segment});
  if (!parsed.ok()) return Annotate(parsed.status(), job.output->Describe(key));
  return parsed;
}

}  // namespace merganser
