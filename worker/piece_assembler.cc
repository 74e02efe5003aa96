#include "worker/piece_assembler.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/plan/pieces.h"

namespace merganser {

PieceAssembler::PieceAssembler(const Plan& plan, const Unit& unit, const PlannedWrite& write)
    : write_(write), ends_(UnitPieceEnds(plan, unit)), begin_(unit.begin) {
  wanted_.resize(unit.segments.size());
  for (const SharedPiece& piece : SharedPieces(unit, ends_)) {
    const uint64_t size = piece.end - piece.begin;
    wanted_[piece.segment] = size;
    shared_.push_back({piece.segment, piece.begin, piece.end, size, Buffer()});
  }
}

uint64_t PieceAssembler::BufferBytes(size_t segment) const { return wanted_[segment]; }

uint64_t PieceAssembler::LargestBuffer() const {
  return wanted_.empty() ? 0 : *std::max_element(wanted_.begin(), wanted_.end());
}

void PieceAssembler::SetBuffer(size_t segment, Buffer buffer) {
  for (Shared& piece : shared_) {
    if (piece.segment == segment) piece.buffer = std::move(buffer);
  }
}

absl::Status PieceAssembler::Write(ObjectStore& store, uint64_t offset,
                                   std::span<const std::byte> bytes) {
  if (ends_.empty()) return WriteNow(store, offset, bytes);
  const uint64_t end = offset + bytes.size();
  // Small pieces that others wait for go first: then their buffers are free again.
  for (Shared& piece : shared_) {
    if (piece.begin >= end || piece.end <= offset) continue;
    MERGANSER_RETURN_IF_ERROR(Fill(store, piece, offset, bytes));
  }
  uint64_t piece_begin = begin_;
  for (const uint64_t piece_end : ends_) {
    const uint64_t begin = std::exchange(piece_begin, piece_end);
    if (begin < offset || piece_end > end) continue;
    MERGANSER_RETURN_IF_ERROR(
        WriteNow(store, begin, bytes.subspan(begin - offset, piece_end - begin)));
  }
  return absl::OkStatus();
}

absl::Status PieceAssembler::WriteNow(ObjectStore& store, uint64_t offset,
                                      std::span<const std::byte> bytes) {
  MERGANSER_ASSIGN_OR_RETURN(WriteReceipt receipt, store.WriteRange(write_, offset, bytes));
  MutexLock lock(mutex_);
  receipts_.push_back(std::move(receipt));
  return absl::OkStatus();
}

absl::Status PieceAssembler::Fill(ObjectStore& store, Shared& piece, uint64_t offset,
                                  std::span<const std::byte> bytes) {
  const uint64_t begin = std::max(piece.begin, offset);
  const uint64_t end = std::min(piece.end, offset + bytes.size());
  std::byte* const data = piece.buffer.data();
  if (data == nullptr) {
    return absl::InternalError(absl::StrCat("the piece at ", piece.begin, " has no buffer"));
  }
  std::memcpy(data + (begin - piece.begin), bytes.data() + (begin - offset), end - begin);
  {
    MutexLock lock(mutex_);
    piece.missing -= end - begin;
    if (piece.missing > 0) return absl::OkStatus();
  }
  MERGANSER_RETURN_IF_ERROR(WriteNow(store, piece.begin, {data, piece.end - piece.begin}));
  piece.buffer.Release();
  return absl::OkStatus();
}

std::vector<WriteReceipt> PieceAssembler::TakeReceipts() {
  MutexLock lock(mutex_);
  std::sort(receipts_.begin(), receipts_.end(),
            [](const WriteReceipt& a, const WriteReceipt& b) { return a.offset < b.offset; });
  return std::exchange(receipts_, {});
}

}  // namespace merganser
