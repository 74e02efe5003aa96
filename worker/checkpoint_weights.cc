#include "worker/checkpoint_weights.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "common/base/checked.h"
#include "common/base/status.h"
#include "common/linalg/block_ops.h"
#include "common/linalg/convert.h"
#include "common/plan/planned_origins.h"
#include "worker/decode_source.h"

namespace merganser {
namespace {

constexpr uint64_t kElements = uint64_t{128} << 10;  // of one range
constexpr uint64_t kChunk = 1024;

void ToDoubles(const TensorView& view, double* out) {
  double values[kChunk];
  for (uint64_t at = 0; at < view.size; at += kChunk) {
    const uint64_t count = std::min(kChunk, view.size - at);
    linalg::LoadDoubles(view.Slice(at, count), values);
    std::copy_n(values, count, out + at);
  }
}

PlannedTensor PlanOf(const CheckpointTensor& tensor) {
  PlannedTensor planned;
  planned.spec = {tensor.name, tensor.shape};
  planned.dtype = tensor.dtype;
  planned.elements = 1;
  for (const uint64_t side : tensor.shape) planned.elements *= side;
  planned.sources = {{0, tensor.shard, tensor.offset, tensor.dtype, tensor.name, {}}};
  SetOrigin(tensor, planned.sources[0]);
  return planned;
}

}  // namespace

CheckpointWeights::CheckpointWeights(const Checkpoint& model, Executor& executor)
    : executor_(executor) {
  PlannedModel planned;
  planned.uri = model.uri;
  planned.given = model.given;
  planned.shards = model.shards;
  std::vector<std::shared_ptr<ObjectStore>> places;
  for (const CheckpointPlace& place : model.places) {
    planned.places.push_back(place.uri);
    places.push_back(place.store);
  }
  job_.plan.models = {std::move(planned)};
  job_.inputs = {model.store};
  job_.places = {std::move(places)};
}

absl::Status CheckpointWeights::Read(const CheckpointTensor& tensor, uint64_t first, uint64_t count,
                                     WeightBlock& out) {
  const PlannedTensor planned = PlanOf(tensor);
  const PlannedSource& source = planned.sources[0];
  const uint64_t width = BytesPerElement(source.dtype);
  std::vector<std::byte> bytes(count * width);
  out.stored.resize(count);
  out.weights.resize(count);
  std::vector<absl::Status> read(CeilDiv(count, kElements));
  executor_.ParallelFor(read.size(), [&](size_t i) {
    const uint64_t at = i * kElements, size = std::min(kElements, count - at);
    const TensorView view{bytes.data() + at * width, source.dtype, size};
    read[i] = ReadValues(job_, planned, 0, first + at, std::span(&view, 1));
    if (!read[i].ok()) return;
    ToDoubles(view, out.stored.data() + at);
    if (source.update.has_value()) read[i] = ApplyUpdate(job_, planned, 0, first + at, view);
    ToDoubles(view, out.weights.data() + at);
  });
  for (const absl::Status& status : read) MERGANSER_RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

}  // namespace merganser
