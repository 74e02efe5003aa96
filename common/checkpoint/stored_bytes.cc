#include "common/checkpoint/stored_bytes.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/format/text.h"

namespace merganser {
namespace {

// Tensors that differ do so at once: the first piece is small.
constexpr uint64_t kFirstPiece = uint64_t{64} << 10;
constexpr uint64_t kPiece = uint64_t{4} << 20;

absl::Status ReadPiece(const StoredTensor& stored, uint64_t at, std::span<std::byte> piece) {
  const CheckpointShard& shard = stored.model->shards[stored.tensor->shard];
  absl::Status status =
      stored.model->StoreOf(stored.tensor->shard)
          .Read(shard.key, stored.tensor->offset + at, piece, shard.info.identity);
  if (status.ok()) return status;
  return Annotate(status, absl::StrCat("model ", Quoted(stored.model->given), ": tensor ",
                                       Quoted(stored.tensor->name)));
}

// All bits of the exponent are set.
template <typename Bits>
bool AnyNonFinite(std::span<const std::byte> bytes, Bits exponent) {
  for (size_t at = 0; at + sizeof(Bits) <= bytes.size(); at += sizeof(Bits)) {
    Bits bits;
    std::memcpy(&bits, bytes.data() + at, sizeof(Bits));
    if ((bits & exponent) == exponent) return true;
  }
  return false;
}

bool AnyNonFinite(std::span<const std::byte> bytes, DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return AnyNonFinite(bytes, uint64_t{0x7FF0000000000000});
    case DType::kF32:
      return AnyNonFinite(bytes, uint32_t{0x7F800000});
    case DType::kF16:
      return AnyNonFinite(bytes, uint16_t{0x7C00});
    case DType::kBF16:
      return AnyNonFinite(bytes, uint16_t{0x7F80});
    default:
      return false;
  }
}

}  // namespace

absl::StatusOr<std::optional<uint64_t>> FirstDifference(const StoredTensor& a,
                                                        const StoredTensor& b) {
  const uint64_t size = a.tensor->size;
  std::vector<std::byte> one(std::min(size, kPiece)), other(one.size());
  for (uint64_t at = 0; at < size;) {
    const uint64_t step = std::min(size - at, at == 0 ? kFirstPiece : kPiece);
    const std::span<std::byte> left = std::span(one).first(step);
    const std::span<std::byte> right = std::span(other).first(step);
    MERGANSER_RETURN_IF_ERROR(ReadPiece(a, at, left));
    MERGANSER_RETURN_IF_ERROR(ReadPiece(b, at, right));
    const auto differs = std::mismatch(left.begin(), left.end(), right.begin()).first;
    if (differs != left.end()) return at + static_cast<uint64_t>(differs - left.begin());
    at += step;
  }
  return std::nullopt;
}

absl::StatusOr<bool> HasNonFinite(const StoredTensor& stored, uint64_t bytes) {
  std::vector<std::byte> piece(std::min(stored.tensor->size, bytes));
  MERGANSER_RETURN_IF_ERROR(ReadPiece(stored, 0, piece));
  return AnyNonFinite(piece, stored.tensor->dtype);
}

}  // namespace merganser
