// What segments read and leave between rounds: their inputs, from their stores
// into one buffer, and the keepsakes of their leaves.
//
// Segments of one unit whose inputs lie one behind the other may be read as one, in a run: a store
// that answers late then has one request for a norm and the matrix behind it.
#ifndef MERGANSER_WORKER_SEGMENT_IO_H_
#define MERGANSER_WORKER_SEGMENT_IO_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/linalg/low_rank_triplets.h"
#include "common/plan/plan.h"
#include "common/tensor/view.h"
#include "worker/block_scaled.h"
#include "worker/buffer_pool.h"
#include "worker/unit_source.h"

namespace merganser {

// A segment in memory: every source's elements and the place for the output,
// each at a cache line of `buffer`, which is that of its run.
struct SegmentData {
  std::shared_ptr<Buffer> buffer;
  std::vector<TensorView> sources;  // as PlannedTensor::sources
  MutableTensorView output;         // of a header segment: bytes, as U8
  // Of an encoded tensor: `output` are values before they are encoded, these what is written of
  // them; what the original has in their place; and all scales of the tensor, in rounds that write.
  std::span<std::byte> encoded;
  HeldBlocks original;
  std::span<std::byte> scales;
  // Of each source whose rank is known (KnownRank), its factors leaf by leaf, which are part of the
  // segment's workspace; of others none.
  std::vector<std::vector<FactoredDelta>> factors;
};

// One or more segments.
using SegmentRun = std::vector<const Segment*>;

// Whether `next` may stand behind `segment` in a run: `segment` is small, every input of it is in a
// store that cuts reads (StoreTraits::read_size), and that of `next` begins where it ends.
bool MayJoin(const JobContext& job, const Segment& segment, const Segment& next);

// Bytes of buffer that a run needs; beside it, its tensors' workspaces.
uint64_t RunBufferBytes(const Plan& plan, const SegmentRun& run);

// Lays out the segments of a run, in as many `data`, from `at`, where RunBufferBytes are.
void LayOutRun(const Plan& plan, const SegmentRun& run, std::byte* at,
               std::span<SegmentData* const> data);

// Reads the sources (nothing for a header). Errors name file and tensor.
absl::Status ReadRun(const JobContext& job, const SegmentRun& run,
                     std::span<SegmentData* const> data);

// Puts down what the analysis of a segment keeps for its application (one a leaf),
// durable when it returns. The bytes' digest. kAborted, and nothing is left, when the
// job is over.
absl::StatusOr<std::string> WriteKeepsakes(const JobContext& job, uint32_t unit, uint32_t segment,
                                           const std::vector<Keepsake>& keepsakes);
// kDataLoss when they are missing or damaged.
absl::StatusOr<std::vector<Keepsake>> ReadKeepsakes(const JobContext& job, uint32_t unit,
                                                    uint32_t segment);

}  // namespace merganser

#endif  // MERGANSER_WORKER_SEGMENT_IO_H_
