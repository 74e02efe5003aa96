#include "worker/planned_sources.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "common/base/checked.h"
#include "common/base/status.h"
#include "common/linalg/kernels.h"
#include "common/plan/origin_bytes.h"
#include "worker/decode_source.h"
#include "worker/factor_reader.h"
#include "worker/source_errors.h"

namespace merganser {
namespace {

constexpr uint64_t kElements = uint64_t{128} << 10;  // of one range

}  // namespace

absl::StatusOr<std::unique_ptr<PlannedSources>> PlannedSources::Open(const Plan& plan,
                                                                     const Stores& stores,
                                                                     Executor& executor,
                                                                     int threads) {
  std::unique_ptr<PlannedSources> sources(new PlannedSources(executor, threads));
  JobContext& job = sources->job_;
  job.plan.models = plan.models;
  for (const PlannedModel& model : plan.models) {
    MERGANSER_ASSIGN_OR_RETURN(std::shared_ptr<ObjectStore> store, stores.Open(model.uri));
    job.inputs.push_back(std::move(store));
    std::vector<std::shared_ptr<ObjectStore>>& places = job.places.emplace_back();
    for (const std::string& uri : model.places) {
      MERGANSER_ASSIGN_OR_RETURN(std::shared_ptr<ObjectStore> place, stores.Open(uri));
      places.push_back(std::move(place));
    }
  }
  return sources;
}

absl::Status PlannedSources::Read(const PlannedTensor& tensor, uint64_t first,
                                  std::span<const TensorView> views) {
  if (views.empty()) return absl::OkStatus();
  const uint64_t count = views[0].size;
  std::vector<absl::Status> read(CeilDiv(count, kElements));
  executor_.ParallelFor(read.size(), [&](size_t i) {
    const uint64_t at = i * kElements, size = std::min(kElements, count - at);
    std::vector<TensorView> parts;
    parts.reserve(views.size());
    for (const TensorView& view : views) parts.push_back(view.Slice(at, size));
    for (size_t s = 0; s < parts.size() && read[i].ok(); ++s) {
      read[i] = ReadValues(job_, tensor, s, first + at, parts);
    }
    // Sources share values: none is changed before all have theirs.
    for (size_t s = 0; s < parts.size() && read[i].ok(); ++s) {
      if (!tensor.sources[s].update.has_value()) continue;
      read[i] = ApplyUpdate(job_, tensor, s, first + at, parts[s]);
    }
    SerialExecutor serial;
    for (size_t s = 0; s < parts.size() && read[i].ok(); ++s) {
      const std::optional<uint64_t> index = FindNonFinite(parts[s], serial);
      if (!index.has_value()) continue;
      read[i] = NonFiniteElement(DescribeSource(job_, tensor.sources[s]), first + at + *index,
                                 ElementAt(parts[s], *index));
    }
  });
  for (const absl::Status& status : read) MERGANSER_RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

uint64_t PlannedSources::ReadBytes(const PlannedTensor& tensor, uint64_t count) const {
  const uint64_t range = std::min({kElements, count, tensor.elements});
  if (range == 0) return 0;
  uint64_t most = 0;
  for (const PlannedSource& source : tensor.sources) {
    // Of ranges of that size the one that straddles rows takes most: all columns, and a row more
    // than it has. One from the front that is a row and more longer takes no less.
    const uint64_t row = tensor.spec.shape.empty() ? 1 : tensor.spec.shape.back();
    const uint64_t elements = std::min(2 * range + row, tensor.elements);
    most = std::max(most, ReadScratch(tensor, source, 0, elements));
  }
  return most * std::min(threads_, CeilDiv(count, range));
}

absl::Status PlannedSources::ReadBlock(uint32_t model, const StoredBlock& block,
                                       std::vector<double>& out) {
  BlockEntries entries;
  MERGANSER_RETURN_IF_ERROR(entries.Read(job_, model, block, {0, block.elements}));
  out.resize(block.elements);
  for (uint64_t i = 0; i < block.elements; ++i) out[i] = entries.At(i);
  return absl::OkStatus();
}

}  // namespace merganser
