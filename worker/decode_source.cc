#include "worker/decode_source.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/linalg/block_ops.h"
#include "common/linalg/convert.h"
#include "common/plan/encoding.h"
#include "common/plan/origin_bytes.h"
#include "worker/block_scaled.h"
#include "worker/low_rank_source.h"
#include "worker/source_parts.h"

namespace merganser {
namespace {

constexpr uint64_t kChunk = 1024;

// The views are const to everybody else; this is where their bytes come from.
std::byte* BytesOf(const TensorView& view) { return const_cast<std::byte*>(view.data); }

// Element by element from the front. The types hold the values exactly. `from` may be the end of
// `to`: none is written over before it was taken.
void Convert(const TensorView& from, const TensorView& to) {
  if (from.dtype == to.dtype) {
    std::memmove(BytesOf(to), from.data, to.bytes());
    return;
  }
  double values[linalg::PadLanes(kChunk)];
  for (uint64_t at = 0; at < to.size; at += kChunk) {
    const uint64_t n = std::min(kChunk, to.size - at);
    linalg::LoadDoubles(from.Slice(at, n), values);
    const TensorView part = to.Slice(at, n);
    linalg::StoreDoubles(values, {BytesOf(part), part.dtype, n});
  }
}

}  // namespace

absl::Status ReadValues(const JobContext& job, const PlannedTensor& tensor, size_t source,
                        uint64_t first, std::span<const TensorView> views, const HeldBlocks* held) {
  const PlannedSource& wanted = tensor.sources[source];
  const TensorView& view = views[source];
  if (!wanted.parts.empty()) return ReadParts(job, wanted, first, view);
  if (!ReadsValues(wanted)) {
    // An update fills it.
    if (!wanted.update.has_value()) std::memset(BytesOf(view), 0, view.bytes());
    return absl::OkStatus();
  }
  if (const std::optional<size_t> other = SharedValues(job.plan, tensor, source)) {
    Convert(views[*other], view);
    return absl::OkStatus();
  }
  const bool has = held != nullptr && IsOriginal(job.plan, tensor, wanted);
  return ReadStored(job, tensor, wanted, first, view, has ? held : nullptr);
}

absl::Status ReadStored(const JobContext& job, const PlannedTensor& tensor,
                        const PlannedSource& source, uint64_t first, const TensorView& view,
                        const HeldBlocks* held) {
  const DType type = ValueType(source);
  const uint64_t bytes = view.size * BytesPerElement(type);
  const TensorView values = {BytesOf(view) + view.bytes() - bytes, type, view.size};
  if (source.scales.has_value()) {
    PlannedSource scaled = source;
    scaled.dtype = type;
    scaled.update.reset();
    scaled.added_to.reset();
    scaled.delta = false;
    MERGANSER_RETURN_IF_ERROR(ReadBlockScaled(job, scaled, tensor, first, values, held));
  } else {
    const CheckpointShard& shard = job.plan.models[source.model].shards[source.shard];
    const absl::Status status = job.Input(source.model, source.shard)
                                    .Read(shard.key, source.offset + first * BytesPerElement(type),
                                          {BytesOf(values), bytes}, shard.info.identity);
    if (!status.ok()) return Annotate(status, absl::StrCat("tensor ", Shown(source.tensor)));
  }
  if (type != view.dtype) Convert(values, view);
  return absl::OkStatus();
}

absl::Status ApplyUpdate(const JobContext& job, const PlannedTensor& tensor, size_t source,
                         uint64_t first, const TensorView& view,
                         std::vector<FactoredDelta>* factors) {
  if (view.size == 0) return absl::OkStatus();
  return AddLowRankUpdate(job, tensor, tensor.sources[source], first, view, factors);
}

}  // namespace merganser
