#include "common/adapters/tensor_bytes.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/checked.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/linalg/block_ops.h"
#include "common/linalg/convert.h"
#include "common/tensor/view.h"

namespace merganser {
namespace {

constexpr uint64_t kPiece = uint64_t{4} << 20;    // bytes of one read
constexpr uint64_t kWindow = uint64_t{2} << 20;   // elements that are compared at a time
constexpr uint64_t kBlock = uint64_t{128} << 10;  // elements of one task
constexpr size_t kChunk = 1024;                   // elements in float64

// A block's part of the result.
TensorDifference CompareBlock(const TensorView& before, const TensorView& after) {
  TensorDifference difference;
  double delta[kChunk];
  for (uint64_t at = 0; at < before.size; at += kChunk) {
    const uint64_t count = std::min<uint64_t>(kChunk, before.size - at);
    linalg::LoadDelta(before.Slice(at, count), after.Slice(at, count), 1.0, delta);
    for (uint64_t i = 0; i < count; ++i) difference.elements += delta[i] != 0;
    difference.squares += linalg::Dot(delta, delta, linalg::PadLanes(count));
  }
  return difference;
}

}  // namespace

std::string DescribeTensor(const Checkpoint& model, const CheckpointTensor& tensor) {
  return absl::StrCat(OneLine(model.DescribeShard(tensor.shard)), ": tensor '", Shown(tensor.name),
                      "'");
}

bool IsStored(const CheckpointTensor& tensor) {
  return !tensor.scales.has_value() && !tensor.coded.has_value() && !tensor.update.has_value();
}

absl::Status ReadTensorBytes(const Checkpoint& model, const CheckpointTensor& tensor,
                             uint64_t offset, std::span<std::byte> out, Executor& executor) {
  const CheckpointShard& shard = model.shards[tensor.shard];
  const size_t pieces = CeilDiv(out.size(), kPiece);
  std::vector<absl::Status> read(pieces);
  executor.ParallelFor(pieces, [&](size_t i) {
    const uint64_t at = i * kPiece;
    read[i] = model.StoreOf(tensor.shard)
                  .Read(shard.key, tensor.offset + offset + at,
                        out.subspan(at, std::min<uint64_t>(kPiece, out.size() - at)),
                        shard.info.identity);
  });
  for (const absl::Status& status : read) {
    if (!status.ok()) return Annotate(status, absl::StrCat("tensor ", Shown(tensor.name)));
  }
  return absl::OkStatus();
}

absl::StatusOr<TensorDifference> CompareStored(const Checkpoint& base,
                                               const CheckpointTensor& before,
                                               const Checkpoint& model,
                                               const CheckpointTensor& after, Executor& executor) {
  const uint64_t width = BytesPerElement(before.dtype), other = BytesPerElement(after.dtype);
  const uint64_t elements = before.size / width;
  const uint64_t most = std::min(kWindow, elements);
  std::vector<std::byte> one(most * width), two(most * other);
  TensorDifference difference;
  for (uint64_t at = 0; at < elements; at += kWindow) {
    const uint64_t count = std::min(kWindow, elements - at);
    MERGANSER_RETURN_IF_ERROR(
        ReadTensorBytes(base, before, at * width, std::span(one).first(count * width), executor));
    MERGANSER_RETURN_IF_ERROR(
        ReadTensorBytes(model, after, at * other, std::span(two).first(count * other), executor));
    const TensorView left{one.data(), before.dtype, count}, right{two.data(), after.dtype, count};
    std::vector<TensorDifference> parts(CeilDiv(count, kBlock));
    executor.ParallelFor(parts.size(), [&](size_t i) {
      const uint64_t size = std::min(kBlock, count - i * kBlock);
      parts[i] = CompareBlock(left.Slice(i * kBlock, size), right.Slice(i * kBlock, size));
    });
    for (const TensorDifference& part : parts) {
      difference.elements += part.elements;
      difference.squares += part.squares;
    }
  }
  return difference;
}

}  // namespace merganser
