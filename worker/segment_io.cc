#include "worker/segment_io.h"

#include <cstddef>
#include <cstring>
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
#include "common/plan/encoding.h"
#include "common/plan/known_rank.h"
#include "common/plan/origin_bytes.h"
#include "worker/decode_source.h"

namespace merganser {
namespace {

// A source up to this is worth no request of its own.
constexpr uint64_t kSmall = uint64_t{1} << 20;

uint64_t Aligned(uint64_t bytes) { return CeilDiv(bytes, kBufferAlignment) * kBufferAlignment; }

uint64_t SourceBytes(const PlannedTensor& tensor, const Segment& segment,
                     const PlannedSource& source) {
  return SegmentElements(tensor, segment) * BytesPerElement(source.dtype);
}

uint64_t SourceOffset(const PlannedTensor& tensor, const Segment& segment,
                      const PlannedSource& source) {
  return source.offset + segment.leaf_begin * tensor.leaf_elements * BytesPerElement(source.dtype);
}

EncodedRange EncodedOf(const PlannedTensor& tensor, const Segment& segment) {
  return RangeOf(tensor, segment.leaf_begin * tensor.leaf_elements,
                 SegmentElements(tensor, segment));
}

uint64_t SegmentBytes(const Plan& plan, const Segment& segment) {
  uint64_t bytes = Aligned(segment.bytes_out);
  if (segment.header) return bytes;
  const PlannedTensor& tensor = plan.tensors[segment.tensor];
  if (tensor.encoding.has_value()) {
    const EncodedRange range = EncodedOf(tensor, segment);
    bytes += Aligned(range.values_bytes) + Aligned(range.scales_bytes) +
             Aligned(SegmentElements(tensor, segment) * BytesPerElement(tensor.dtype));
  }
  for (const PlannedSource& source : tensor.sources) {
    bytes += Aligned(SourceBytes(tensor, segment, source));
  }
  return bytes;
}

// Whether the elements are more than one range of a file that is read for them.
bool IsMade(const JobContext& job, const PlannedTensor& tensor, size_t source) {
  return !tensor.sources[source].parts.empty() || IsDecoded(tensor.sources[source]) ||
         SharedValues(job.plan, tensor, source).has_value();
}

// Of every source, the bytes of a run before its last segment.
std::vector<uint64_t> Leads(const Plan& plan, const SegmentRun& run) {
  std::vector<uint64_t> leads;
  if (run.back()->header) return leads;
  leads.resize(plan.tensors[run.back()->tensor].sources.size());
  for (size_t i = 0; i + 1 < run.size(); ++i) {
    const PlannedTensor& tensor = plan.tensors[run[i]->tensor];
    for (size_t s = 0; s < leads.size(); ++s) {
      leads[s] += SourceBytes(tensor, *run[i], tensor.sources[s]);
    }
  }
  return leads;
}

}  // namespace

bool MayJoin(const JobContext& job, const Segment& segment, const Segment& next) {
  if (segment.header || next.header || segment.scales || next.scales) return false;
  const PlannedTensor& tensor = job.plan.tensors[segment.tensor];
  const PlannedTensor& behind = job.plan.tensors[next.tensor];
  if (tensor.encoding.has_value() || behind.encoding.has_value()) return false;
  if (tensor.sources.empty() || tensor.sources.size() != behind.sources.size()) return false;
  for (size_t i = 0; i < tensor.sources.size(); ++i) {
    const PlannedSource& source = tensor.sources[i];
    const PlannedSource& other = behind.sources[i];
    if (IsMade(job, tensor, i) || IsMade(job, behind, i)) return false;
    const uint64_t bytes = SourceBytes(tensor, segment, source);
    if (bytes > kSmall || job.Input(source.model, source.shard).traits().read_size == 0 ||
        source.model != other.model || source.shard != other.shard ||
        SourceOffset(tensor, segment, source) + bytes != SourceOffset(behind, next, other)) {
      return false;
    }
  }
  return true;
}

uint64_t RunBufferBytes(const Plan& plan, const SegmentRun& run) {
  uint64_t bytes = 0;
  for (const Segment* segment : run) bytes += SegmentBytes(plan, *segment);
  for (const uint64_t lead : Leads(plan, run)) bytes += Aligned(lead);
  return bytes;
}

void LayOutRun(const Plan& plan, const SegmentRun& run, std::byte* at,
               std::span<SegmentData* const> data) {
  const std::vector<uint64_t> leads = Leads(plan, run);
  for (size_t i = 0; i < run.size(); ++i) {
    const Segment& segment = *run[i];
    if (segment.header) {
      data[i]->output = {at, DType::kU8, segment.bytes_out};
      at += Aligned(segment.bytes_out);
      continue;
    }
    const PlannedTensor& tensor = plan.tensors[segment.tensor];
    const uint64_t elements = SegmentElements(tensor, segment);
    for (size_t s = 0; s < tensor.sources.size(); ++s) {
      // What is read before it lies before it, until it is copied to its places.
      if (i + 1 == run.size()) at += Aligned(leads[s]);
      data[i]->sources.push_back({at, tensor.sources[s].dtype, elements, tensor.sources[s].delta});
      at += Aligned(data[i]->sources.back().bytes());
    }
    data[i]->output = {at, tensor.dtype, elements};
    at += Aligned(data[i]->output.bytes());
    if (!tensor.encoding.has_value()) continue;
    const EncodedRange range = EncodedOf(tensor, segment);
    data[i]->encoded = {at, segment.bytes_out};
    at += Aligned(segment.bytes_out);
    HeldBlocks& original = data[i]->original;
    original.values_begin = range.values_begin;
    original.scales_begin = range.scales_begin;
    original.values = {at, range.values_bytes};
    at += Aligned(range.values_bytes);
    original.scales = {at, range.scales_bytes};
    at += Aligned(range.scales_bytes);
  }
}

namespace {

// What the original of an encoded tensor has in the segment's place.
absl::Status ReadOriginal(const JobContext& job, const PlannedTensor& tensor,
                          const HeldBlocks& held) {
  const PlannedSource& original = tensor.encoding->original;
  const StoredBlock& scales = original.scales->scales;
  const auto read = [&](uint32_t shard, uint64_t offset, std::span<const std::byte> to) {
    const CheckpointShard& file = job.plan.models[original.model].shards[shard];
    // This is where the bytes come from.
    const std::span<std::byte> out(const_cast<std::byte*>(to.data()), to.size());
    absl::Status status =
        job.Input(original.model, shard).Read(file.key, offset, out, file.info.identity);
    if (status.ok()) return status;
    return Annotate(status, absl::StrCat("tensor ", Shown(original.tensor)));
  };
  MERGANSER_RETURN_IF_ERROR(read(original.shard, original.offset + held.values_begin, held.values));
  return read(scales.shard, scales.offset + held.scales_begin, held.scales);
}

}  // namespace

absl::Status ReadRun(const JobContext& job, const SegmentRun& run,
                     std::span<SegmentData* const> data) {
  if (run.back()->header) return absl::OkStatus();
  const std::vector<uint64_t> leads = Leads(job.plan, run);
  const PlannedTensor& first = job.plan.tensors[run.front()->tensor];
  const PlannedTensor& last = job.plan.tensors[run.back()->tensor];
  const uint64_t first_element = run.front()->leaf_begin * first.leaf_elements;
  const HeldBlocks* held = nullptr;
  if (last.encoding.has_value()) {
    held = &data.back()->original;
    MERGANSER_RETURN_IF_ERROR(ReadOriginal(job, last, *held));
  }
  // What is made of others' elements has them before they become a sum.
  std::vector<size_t> updates;
  for (size_t s = 0; s < last.sources.size(); ++s) {
    const PlannedSource& source = first.sources[s];
    const CheckpointShard& shard = job.plan.models[source.model].shards[source.shard];
    const TensorView& view = data.back()->sources[s];
    if (IsMade(job, first, s)) {
      MERGANSER_RETURN_IF_ERROR(
          ReadValues(job, first, s, first_element, data.back()->sources, held));
      if (source.update.has_value()) updates.push_back(s);
      continue;
    }
    // The views are const to everybody else; this is where their bytes come from.
    std::byte* at = const_cast<std::byte*>(view.data) - leads[s];
    const absl::Status status =
        job.Input(source.model, source.shard)
            .Read(shard.key, SourceOffset(first, *run.front(), source),
                  std::span<std::byte>(at, leads[s] + view.bytes()), shard.info.identity);
    if (!status.ok()) {
      std::string what = absl::StrCat("tensor ", Shown(source.tensor));
      if (run.size() > 1) {
        what =
            absl::StrCat("tensors ", Shown(source.tensor), " to ", Shown(last.sources[s].tensor));
      }
      return Annotate(status, what);
    }
    for (size_t i = 0; i + 1 < run.size(); ++i) {
      const TensorView& place = data[i]->sources[s];
      std::memcpy(const_cast<std::byte*>(place.data), at, place.bytes());
      at += place.bytes();
    }
  }
  for (const size_t s : updates) {
    SegmentData& to = *data.back();
    std::vector<FactoredDelta>* factors = nullptr;
    if (KnownRank(first, first.sources[s]).has_value()) {
      to.factors.resize(first.sources.size());
      factors = &to.factors[s];
    }
    MERGANSER_RETURN_IF_ERROR(ApplyUpdate(job, first, s, first_element, to.sources[s], factors));
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
