#include "common/plan/requests.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "common/base/checked.h"
#include "common/plan/encoding.h"
#include "common/plan/origin_bytes.h"
#include "common/plan/pieces.h"

namespace merganser {
namespace {

// Rounds in which the segment's inputs are read.
uint64_t TimesRead(const Plan& plan, const Segment& segment) {
  const bool analyzed = InRounds(plan, segment);
  return 1 + (analyzed ? static_cast<uint64_t>(plan.tensors[segment.tensor].needs.rounds) : 0);
}

uint64_t ReadsOf(const Plan& plan, const Segment& segment, std::span<const StoreTraits> inputs) {
  if (segment.header || segment.scales) return 0;
  const PlannedTensor& tensor = plan.tensors[segment.tensor];
  const uint64_t elements = SegmentElements(tensor, segment);
  const uint64_t first = segment.leaf_begin * tensor.leaf_elements;
  uint64_t reads = 0;
  const auto of = [&](uint32_t model, uint64_t bytes) {
    const uint64_t size = model < inputs.size() ? inputs[model].read_size : 0;
    reads += size == 0 ? 1 : std::max<uint64_t>(1, CeilDiv(bytes, size));
  };
  if (tensor.encoding.has_value() && elements > 0) {
    const EncodedRange range = RangeOf(tensor, first, elements);
    of(tensor.encoding->original.model, range.values_bytes);
    of(tensor.encoding->original.model, range.scales_bytes);
  }
  for (size_t s = 0; s < tensor.sources.size(); ++s) {
    const PlannedSource& source = tensor.sources[s];
    if (source.parts.empty()) {
      const bool shared =
          SharedValues(plan, tensor, s).has_value() || IsOriginal(plan, tensor, source);
      ForReads(tensor, source, shared, first, elements, of);
      continue;
    }
    ForParts(source, first, elements, [&](const SourcePart& part, uint64_t, uint64_t count) {
      for (const StoredElements& stored : part.of) {
        of(stored.model, count * BytesPerElement(stored.dtype));
      }
    });
  }
  return reads * TimesRead(plan, segment);
}

}  // namespace

StorageRequests CountRequests(const Plan& plan, std::span<const StoreTraits> inputs) {
  StorageRequests requests;
  for (const Unit& unit : plan.units) {
    for (const Segment& segment : unit.segments) requests.reads += ReadsOf(plan, segment, inputs);
    if (!plan.output.whole_pieces) {
      requests.writes += unit.segments.size();
      continue;
    }
    uint64_t begin = unit.begin;
    for (const uint64_t end : UnitPieceEnds(plan, unit)) {
      const uint64_t size = end - begin;
      ++requests.writes;
      requests.most_piece = std::max(requests.most_piece, size);
      const bool last = end == plan.shards[unit.shard].size;
      if (!last || requests.least_piece == 0) {
        requests.least_piece =
            requests.least_piece == 0 ? size : std::min(requests.least_piece, size);
      }
      begin = end;
    }
  }
  return requests;
}

}  // namespace merganser
