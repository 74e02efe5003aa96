// A unit's bytes on their way to the store: in whole pieces, where the store wants such.
#ifndef MERGANSER_WORKER_PIECE_ASSEMBLER_H_
#define MERGANSER_WORKER_PIECE_ASSEMBLER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "common/plan/plan.h"
#include "common/storage/object_store.h"
#include "worker/buffer_pool.h"

namespace merganser {

// Of one unit. Segments come in any order from several threads. Where ranges are free each is
// written as it is. Else what of a segment is whole pieces is written from where it lies, and a
// piece that it shares with its neighbours is put together in a buffer, which whoever fills it
// writes. Thread-safe.
class PieceAssembler {
 public:
  // `write` is the planned write of the unit's shard; both outlive the assembler.
  PieceAssembler(const Plan& plan, const Unit& unit, const PlannedWrite& write);

  // The bytes of buffer that are wanted before segment `segment` (index into Unit::segments) is
  // begun; 0 for most. Taken in the order of the segments, each before its segment's own memory,
  // they fit into Unit::memory with it.
  uint64_t BufferBytes(size_t segment) const;
  // The most of any segment.
  uint64_t LargestBuffer() const;
  // Takes that buffer, before any thread has the segment.
  void SetBuffer(size_t segment, Buffer buffer);

  // Takes the output of the segment that begins at `offset` of the shard, once; it may go
  // when this returns. Writes to `store` the pieces that are complete with it. When it succeeded
  // for every segment, the unit is written.
  absl::Status Write(ObjectStore& store, uint64_t offset, std::span<const std::byte> bytes)
      MERGANSER_EXCLUDES(mutex_);

  // What the store gave for what was written, in the order of the bytes.
  std::vector<WriteReceipt> TakeReceipts() MERGANSER_EXCLUDES(mutex_);

 private:
  struct Shared {
    size_t segment = 0;  // in which it begins
    uint64_t begin = 0;  // bytes in the shard
    uint64_t end = 0;
    uint64_t missing = 0;  // bytes, under the mutex
    Buffer buffer;
  };
  absl::Status WriteNow(ObjectStore& store, uint64_t offset, std::span<const std::byte> bytes)
      MERGANSER_EXCLUDES(mutex_);
  // Copies what of a shared piece lies in `bytes`, and writes it if that was the last of it.
  absl::Status Fill(ObjectStore& store, Shared& piece, uint64_t offset,
                    std::span<const std::byte> bytes) MERGANSER_EXCLUDES(mutex_);

  const PlannedWrite& write_;
  std::vector<uint64_t> ends_;    // of the unit's pieces, in the shard; none where ranges are free
  uint64_t begin_ = 0;            // of the unit
  std::vector<uint64_t> wanted_;  // of each segment: BufferBytes
  mutable Mutex mutex_;
  // Ascending. Those who fill a buffer write parts of their own, without a lock.
  std::vector<Shared> shared_;
  std::vector<WriteReceipt> receipts_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_PIECE_ASSEMBLER_H_
